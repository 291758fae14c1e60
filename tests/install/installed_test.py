#!/usr/bin/env python3
"""Installs Waybill below a directory of its own, moves it, and builds a user's project against it.

The project (tests/install/project) is built once with the client alone, and once with the node library; both
programs are run, and publish and consume a message. Besides: what is missing is named, a configuration that
somebody changed stays as it is.

Example: tests/install/installed_test.py --build build/release
"""
import argparse
import os
import pathlib
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import extending_test  # noqa: E402
import programs  # noqa: E402

say, must, run, try_run = programs.say, programs.must, programs.run, programs.try_run


def install(build, prefix, *words):
    return run("cmake", "--install", build, "--prefix", prefix, *words)


class Project:
    """The user's project, configured for a part of Waybill in a directory of its own."""

    def __init__(self, prefix, work, part):
        self.prefix, self.work, self.part = prefix, work, part
        self.directory = work / f"user-{part}"

    def configure(self, *flags, directory=None):
        words = ["cmake", "-G", "Ninja", "-S", HERE / "project", "-B", directory or self.directory,
                 f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DPART={self.part}", "-DWANTED_VERSION=0.1"]
        if shutil.which("ccache"):
            words.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        return try_run(*words, *flags)

    def refusal(self, *flags):
        """What CMake says when it must not go on."""
        status, text = self.configure(*flags, directory=self.work / "refused")
        shutil.rmtree(self.work / "refused")
        must(f"configuring with {flags} fails", status != 0, text)
        return " ".join(text.split())

    def build(self):
        status, text = self.configure()
        must(f"the project of a user of waybill::{self.part} is configured", status == 0, text)
        environment = dict(os.environ, CCACHE_BASEDIR=str(self.work), CCACHE_NOHASHDIR="1")
        run("cmake", "--build", self.directory, env=environment)
        return self.directory / "user_program"


def what_is_missing_is_named(prefix, work):
    client, node = Project(prefix, work, "client"), Project(prefix, work, "node")
    said = client.refusal("-DCMAKE_DISABLE_FIND_PACKAGE_CapnProto=ON")
    must("Cap'n Proto is named, and its package", "Cap'n Proto 0.9.2 (Debian: libcapnp-dev)" in said, said)
    said = node.refusal("-DCMAKE_DISABLE_FIND_PACKAGE_CAF=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_leveldb=ON")
    must("CAF and LevelDB are named, and their packages",
         "waybill::node needs what is not installed: CAF 0.17.6 (Debian: libcaf-dev), LevelDB" in said
         and "libleveldb-dev" in said, said)
    said = Project(prefix, work, "nod").refusal()
    must("an unknown component is named", "no component `nod`: there are `client` and `node`" in said, said)
    said = client.refusal("-DWANTED_VERSION=0.2")
    must("another version is not taken", 'compatible with requested version "0.2"' in said, said)
    say("what is missing is named")


def a_changed_configuration_stays(build, prefix):
    file = prefix / "etc" / "waybill" / "waybilld.ini"
    fresh = file.read_text()
    install(build, prefix, "--component", "runtime")
    must("an unchanged configuration is replaced", list(file.parent.iterdir()) == [file])
    file.write_text(fresh + "; changed\n")
    install(build, prefix, "--component", "runtime")
    must("the changed one is kept", file.read_text() == fresh + "; changed\n")
    new = file.with_name("waybilld.ini.new")
    must("and the new one lies beside it", new.read_text() == fresh)
    new.unlink()
    file.write_text(fresh)
    say("a changed configuration stays")


def a_client_alone(prefix, work):
    """Built where neither CAF nor LevelDB can be found; its node is the installed one."""
    project = Project(prefix, work, "client")
    program = project.build()
    links = run("ldd", program)
    must("a client is linked neither with CAF nor with LevelDB",
         "libcaf" not in links and "libleveldb" not in links, links)
    port = programs.free_port()
    node = programs.Node(work / "programs", work / "data", port, work / "node.log",
                         f"--config-file={prefix}/etc/waybill/waybilld.ini")
    node.start()
    try:
        said = run(program, f"127.0.0.1:{port}")
        must("its message went through", said.endswith("two boxes\n"), said)
        books = run(prefix / "bin" / "waybill", "--server", f"127.0.0.1:{port}", "audit", "--json")
        must("the books balance", '"balances":true' in books, books)
        node.stop()
    finally:
        node.kill_if_alive()
    say("a program with the client library alone publishes and consumes")


def a_node_of_ones_own(prefix, work):
    program = Project(prefix, work, "node").build()
    said = run(program, work / "own-data")
    must("its message went through its own node", said.endswith("two boxes, of 1 topic\n"), said)
    say("a program with a node in it publishes and consumes")


def the_page_on_extending(prefix, work):
    """docs/extending.md, from an empty directory on: its CMakeLists.txt, its code, its commands."""
    directory = work / "extending"
    directory.mkdir()
    (directory / "CMakeLists.txt").write_text(extending_test.blocks("cmake")[0])
    (directory / "own_node.cpp").write_text(extending_test.code())
    words = [f"-DCMAKE_PREFIX_PATH={prefix}"]
    if shutil.which("ccache"):
        words.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
    run("cmake", "-G", "Ninja", "-S", directory, "-B", directory / "build", *words)
    run("cmake", "--build", directory / "build",
        env=dict(os.environ, CCACHE_BASEDIR=str(work), CCACHE_NOHASHDIR="1"))
    runs = work / "extending-runs"
    runs.mkdir()
    extending_test.try_page(directory / "build" / "own_node", work / "programs", runs)
    say("docs/extending.md leads from an empty directory to a node of one's own")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the build's directory")
    options = parser.parse_args()
    build = options.build.resolve()
    with tempfile.TemporaryDirectory(prefix="waybill-install-") as directory:
        work = pathlib.Path(directory)
        install(build, work / "made")
        prefix = work / "moved"
        (work / "made").rename(prefix)
        # As the tests of the programs have them: each in a folder of its name.
        for name in ("waybill", "waybilld"):
            (work / "programs" / name).mkdir(parents=True)
            (work / "programs" / name / name).symlink_to(prefix / "bin" / name)
        a_changed_configuration_stays(build, prefix)
        what_is_missing_is_named(prefix, work)
        a_client_alone(prefix, work)
        a_node_of_ones_own(prefix, work)
        the_page_on_extending(prefix, work)


if __name__ == "__main__":
    main()
