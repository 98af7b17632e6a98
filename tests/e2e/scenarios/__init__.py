"""The scenarios: each function marked with @scenario is one, and gets a World of its own. Its name is the function's."""


def scenario(function=None, *, addresses=False, root=False, long=False, needs=None):
    """
    addresses: it needs client addresses of its own. root: it needs a server that only root can start (Postfix).
    long: it takes minutes, so that only --long or its name runs it. needs: says what is missing on this machine, or nothing.
    """
    def mark(f):
        f.scenario, f.needs_addresses, f.needs_root = True, addresses, root or addresses
        f.long, f.missing = long, needs or (lambda: None)
        return f
    return mark(function) if function else mark
