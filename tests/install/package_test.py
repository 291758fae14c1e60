#!/usr/bin/env python3
"""Builds the Debian packages out of a built tree, looks at what is in them, and runs it.

What is in them: who owns it, where it lies, what it depends on, which files are the administrator's, whether
the unit is one that systemd understands. Then both packages are unpacked and the node in them is run; and,
where the test runs as root, they are installed, removed and purged by dpkg below a directory of its own.

Example: tests/install/package_test.py --build build/release
"""
import argparse
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import programs  # noqa: E402

say, must, run = programs.say, programs.must, programs.run


class Package:
    """A file that CPack has made: its fields, its members by path, its control files unpacked."""

    def __init__(self, file, work):
        self.file = file
        self.fields = dict(re.findall(r"^(\S+): (.*)$", run("dpkg-deb", "--field", file), re.MULTILINE))
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as packed:
            with tarfile.open(fileobj=packed.stdout, mode="r|") as tar:
                self.members = {member.name.removeprefix("."): member for member in tar}
        self.control = work / f"control-{self.fields['Package']}"
        run("dpkg-deb", "--control", file, self.control)

    def must_have(self, *paths):
        for path in paths:
            must(f"{self.file.name} has {path}", path in self.members, sorted(self.members))


def build_packages(build, work):
    run("cpack", "--config", build / "CPackConfig.cmake", "-B", work / "packages")
    files = sorted((work / "packages").glob("*.deb"))
    must("there are two packages", len(files) == 2, files)
    found = [Package(file, work) for file in files]
    by_name = {each.fields["Package"]: each for each in found}
    must("with the names that they should have", set(by_name) == {"waybill", "waybill-dev"}, set(by_name))
    return by_name["waybill"], by_name["waybill-dev"]


def every_file_is_in_its_place(package):
    """Of the kind that Debian expects: root's, writable by root alone, below the places of a package."""
    for path, member in package.members.items():
        must(f"{path} is root's", (member.uid, member.gid) == (0, 0))
        mode = stat.S_IMODE(member.mode)
        if member.isdir() or path.startswith("/usr/bin/"):
            must(f"{path} may be entered or run", mode == 0o755, oct(mode))
        else:
            must(f"{path} may be read", mode == 0o644, oct(mode))
        must(f"{path} lies where a package's files may", path.startswith(("/usr/", "/etc/waybill"))
             or path in ("", "/", "/usr", "/etc"))
    for name in ("postinst", "prerm", "postrm"):
        if (package.control / name).exists():
            run("sh", "-n", package.control / name)


def the_programs(package):
    package.must_have("/usr/bin/waybill", "/usr/bin/waybilld", "/etc/waybill/waybilld.ini",
                      "/usr/lib/systemd/system/waybilld.service", "/usr/lib/sysusers.d/waybill.conf",
                      "/usr/share/doc/waybill/README.md", "/usr/share/doc/waybill/CHANGELOG.md",
                      "/usr/share/man/man1/waybill.1.gz", "/usr/share/man/man1/waybill-publish.1.gz",
                      "/usr/share/man/man8/waybilld.8.gz", "/usr/share/bash-completion/completions/waybill",
                      "/usr/share/bash-completion/completions/waybilld",
                      "/usr/share/zsh/vendor-completions/_waybill", "/usr/share/zsh/vendor-completions/_waybilld",
                      "/usr/share/doc/waybill/copyright", "/usr/share/doc/waybill/docs/guarantees.md")
    wanted = re.findall(r"[a-z0-9.+-]+(?= |,|$)", re.sub(r"\([^)]*\)", "", package.fields["Depends"]))
    for library in ("libc6", "libcapnp-0.9.2", "libcaf-core0.17", "libleveldb1d", "libxxhash0"):
        must(f"it depends on {library}", library in wanted, package.fields["Depends"])
    must("and on nothing that programs are built with", not [each for each in wanted if each.endswith("-dev")])
    conffiles = (package.control / "conffiles").read_text().split()
    must("the configuration is the administrator's", conffiles == ["/etc/waybill/waybilld.ini"], conffiles)
    say(f"{package.file.name}: {len(package.members)} files, depends on {package.fields['Depends']}")


def the_libraries(package):
    package.must_have("/usr/include/waybill/net/client/client.hpp", "/usr/include/waybill/apps/node/node.hpp",
                      "/usr/lib/cmake/waybill/waybillConfig.cmake", "/usr/lib/waybill/libwaybill_client.a",
                      "/usr/share/waybill/schema/net/waybill.capnp", "/usr/share/doc/waybill-dev/copyright")
    must("the client's needs are depended on", "libcapnp-dev" in package.fields["Depends"], package.fields)
    must("the node's are recommended", "libcaf-dev" in package.fields["Recommends"], package.fields)
    say(f"{package.file.name}: {len(package.members)} files")


def the_unit(root, work):
    unit = (root / "usr/lib/systemd/system/waybilld.service").read_text()
    start = re.search(r"^ExecStart=(\S+) --config-file=(\S+)$", unit, re.MULTILINE)
    must("the unit starts what is in the package, as it is configured there",
         all((root / path[1:]).is_file() for path in start.groups()), start.groups())
    for line in ("Type=notify", "User=waybill", "StateDirectory=waybill", "Restart=on-failure"):
        must(f"the unit says {line}", f"\n{line}\n" in unit, unit)
    if not shutil.which("systemd-analyze"):
        say("the unit: it starts what is in the package (systemd is not here to verify the rest)")
        return
    copy = work / "waybilld.service"
    copy.write_text(unit.replace("=/usr/bin/waybilld", f"={root}/usr/bin/waybilld"))
    must("systemd has nothing to say against the unit",
         run("systemd-analyze", "verify", "--man=no", copy) == "")
    # In tenths; of a service that can do anything it is 96.
    exposure = run("systemd-analyze", "security", "--offline=true", "--threshold=20", copy)
    say("the unit: " + exposure.strip().splitlines()[-1].strip("→ "))


def what_is_unpacked_runs(root, work):
    for name in ("waybill", "waybilld"):
        (work / "programs" / name).mkdir(parents=True)
        (work / "programs" / name / name).symlink_to(root / "usr/bin" / name)
    port = programs.free_port()
    node = programs.Node(work / "programs", work / "data", port, work / "node.log",
                         f"--config-file={root}/etc/waybill/waybilld.ini")
    node.start()
    try:
        cli = programs.CommandLine(work / "programs", port)
        cli.call("topic", "create", "orders", "--partitions", "2")
        cli.call("publish", "orders", "--receipts", work / "receipts", lines=["one", "two", "three"])
        consumed = cli.call("consume", "orders", "--group", "billing", "--max", "3").split()
        must("what was published is consumed", sorted(consumed) == ["one", "three", "two"], consumed)
        cli.call("verify", "--file", work / "receipts")
        node.stop()
    finally:
        node.kill_if_alive()
    settings = run(root / "usr/bin/waybilld", f"--config-file={root}/etc/waybill/waybilld.ini", "--dump-config")
    must("a node has its data where the unit lets it write", 'data-dir = "/var/lib/waybill"\n' in settings)
    text = run("cmake", "-G", "Ninja", "-S", HERE / "project", "-B", work / "user", "-DPART=node",
               f"-DCMAKE_PREFIX_PATH={root}/usr", "-DWANTED_VERSION=0.1")
    must("a project finds its libraries", "Generating done" in text, text)
    say("what is unpacked runs, and is found by a project")


def dpkg_installs_and_removes(runtime, development, work):
    """With a data base of its own; the maintainer scripts are told where (DPKG_ROOT)."""
    root = work / "machine"
    for directory in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"):
        (root / directory).mkdir(parents=True)
    for file in ("var/lib/dpkg/status", "var/lib/dpkg/available", "etc/passwd", "etc/group"):
        (root / file).touch()
    words = ("dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", f"--log={work}/dpkg.log")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(*words, "--install", runtime.file, development.file, env=environment)
    must("the node has a user", re.search(r"^waybill:.*:/var/lib/waybill:.*nologin$",
                                          (root / "etc/passwd").read_text(), re.MULTILINE))
    configuration = root / "etc/waybill/waybilld.ini"
    changed = configuration.read_text() + "; changed\n"
    configuration.write_text(changed)
    run(*words, "--install", runtime.file, env=environment)
    must("an upgrade leaves a changed configuration as it is", configuration.read_text() == changed)
    (root / "var/lib/waybill").mkdir()
    (root / "var/lib/waybill/FORMAT").write_text("messages")
    run(*words, "--remove", "waybill", "waybill-dev", env=environment)
    must("removed programs are gone, the configuration is not",
         not (root / "usr/bin/waybilld").exists() and configuration.exists())
    said = run(*words, "--purge", "waybill", env=environment)
    must("a purge takes the configuration", not configuration.exists())
    must("and no messages, and says so",
         (root / "var/lib/waybill/FORMAT").exists() and f"are kept: {root}/var/lib/waybill" in said, said)
    say("dpkg installs, upgrades, removes and purges; configuration and messages stay as long as they must")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the build's directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waybill-package-") as directory:
        work = pathlib.Path(directory)
        runtime, development = build_packages(options.build.resolve(), work)
        for package in (runtime, development):
            every_file_is_in_its_place(package)
        the_programs(runtime)
        the_libraries(development)
        root = work / "root"
        for package in (runtime, development):
            run("dpkg-deb", "--extract", package.file, root)
        the_unit(root, work)
        what_is_unpacked_runs(root, work)
        if os.geteuid() == 0 and shutil.which("systemd-sysusers"):
            dpkg_installs_and_removes(runtime, development, work)
        else:
            say("dpkg itself installs only for root, and with systemd-sysusers: not tried here")


if __name__ == "__main__":
    main()
