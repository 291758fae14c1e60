"""The place in a page that a script writes: between two marks, each on a line of its own."""
import sys


def put_between(who, path, begin, end, text, what):
    """Ends the script, by its name `who`, when the page does not have both marks. `what` goes there."""
    with open(path) as f:
        whole = f.read()
    if whole.count(begin) != 1 or whole.count(end) != 1:
        sys.exit("%s: %s does not have the lines `%s` and `%s`, once each: the %s go between them" % (
            who, path, begin, end, what))
    before, rest = whole.split(begin)
    with open(path, "w") as f:
        f.write(before + begin + "\n\n" + text + "\n" + end + rest.split(end)[1])
