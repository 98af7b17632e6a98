"""The scenarios: each function marked with @scenario is one, and gets a World of its own. Its name is the function's."""


def scenario(function=None, *, addresses=False, root=False):
    """addresses: it needs client addresses of its own. root: it needs a server that only root can start (Postfix)."""
    def mark(f):
        f.scenario, f.needs_addresses, f.needs_root = True, addresses, root or addresses
        return f
    return mark(function) if function else mark
