/* rooms: smtp */
/*
 * The XCLIENT command that is made for a hostile backend of a hostile client. The input's first octet says which addresses there are, its lines
 * are the attributes offered, the client's name (empty: none), and the rest its HELO. Whatever they hold, one command line comes out: printable,
 * each attribute at most once and only when offered, ADDR behind all others, and each value is read as what was to be told.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "postern/base/codec.h"
#include "postern/smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PENDING = 1, PEER6 = 2, LOCAL = 4, LOCAL6 = 8, ESMTP = 16, NO_PEER = 32 };

static struct addr_port at(bool six, bool none, uint16_t port)
{
    struct addr_port a = {.port = port};
    bool good = none || addr_parse(six ? STR("2001:db8::9") : STR("203.0.113.9"), &a.addr);
    assert(good);
    (void)good;
    return a;
}

/* Is `name` one of the words of `offered`, by a reading of its own? */
static bool is_offered(struct str offered, struct str name)
{
    for (size_t i = 0; i + name.n <= offered.n; i++) {
        bool begins = i == 0 || offered.p[i - 1] == ' ';
        bool ends = i + name.n == offered.n || offered.p[i + name.n] == ' ';
        if (begins && ends && strncasecmp(offered.p + i, name.p, name.n) == 0)
            return true;
    }
    return false;
}

static void told(struct str value, struct str expected)
{
    struct buf text = {0};
    bool good = xtext_decode(&text, value);
    assert(good && str_eq(buf_view(&text), expected.n ? expected : STR("[UNAVAILABLE]")));
    (void)good;
    buf_free(&text);
}

static void told_addr(struct str value, const struct addr *a)
{
    struct addr read = {0};
    bool six = str_starts(value, STR("IPV6:"));
    if (!a->family) {
        told(value, STR_NONE);
        return;
    }
    bool good = addr_parse(str_sub(value, six ? 5 : 0, value.n), &read);
    assert(good && addr_eq(&read, a) && six == (a->family == 6));
    (void)good;
}

static void told_port(struct str value, const struct addr_port *a)
{
    uint64_t port;
    if (!a->addr.family) {
        told(value, STR_NONE);
        return;
    }
    bool good = str_to_u64(value, 65535, &port);
    assert(good && port == a->port);
    (void)good;
}

static void judge_value(const struct xclient *x, struct str name, struct str value)
{
    if (str_eq(name, STR("NAME")))
        told(value, x->name.n ? x->name : x->name_pending ? STR("[TEMPUNAVAIL]") : STR_NONE);
    else if (str_eq(name, STR("HELO")))
        told(value, x->helo);
    else if (str_eq(name, STR("PROTO")))
        told(value, x->esmtp ? STR("ESMTP") : STR("SMTP"));
    else if (str_eq(name, STR("ADDR")))
        told_addr(value, &x->peer.addr);
    else if (str_eq(name, STR("PORT")))
        told_port(value, &x->peer);
    else if (str_eq(name, STR("DESTADDR")))
        told_addr(value, &x->local.addr);
    else if (str_eq(name, STR("DESTPORT")))
        told_port(value, &x->local);
    else
        assert(!"an attribute that we do not know");
}

static void judge(struct str line, struct str offered, const struct xclient *x)
{
    static const char *const all[] = {"NAME", "PORT", "PROTO", "HELO", "DESTADDR", "DESTPORT", "ADDR"};
    unsigned seen[sizeof all / sizeof *all] = {0};
    struct str rest = line, word;
    bool addr = false;
    assert(ascii_printable(line) && str_split(&rest, ' ', &word) && str_eq(word, STR("XCLIENT")));
    while (str_split(&rest, ' ', &word)) {
        size_t equals = str_find(word, '=', 0);
        struct str name = str_sub(word, 0, equals);
        assert(equals < word.n && !addr && is_offered(offered, name));
        addr = str_eq(name, STR("ADDR"));
        judge_value(x, name, str_sub(word, equals + 1, word.n));
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            seen[i] += str_eq(name, str_of(all[i]));
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool there = x->local.addr.family || strncmp(all[i], "DEST", 4) != 0;
        assert(seen[i] == (there && is_offered(offered, str_of(all[i]))));
        assert(xclient_offers(offered, str_of(all[i])) == is_offered(offered, str_of(all[i])));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned flags = data[0];
    struct str rest = {(const char *)data + 1, size - 1}, offered, name;
    str_split(&rest, '\n', &offered);
    if (!str_split(&rest, '\n', &name))
        name = STR_NONE;
    struct xclient x = {.peer = at(flags & PEER6, flags & NO_PEER, (uint16_t)(size * 131)),
                        .local = at(flags & LOCAL6, !(flags & LOCAL), 25),
                        .name = name,
                        .name_pending = flags & PENDING,
                        .helo = rest,
                        .esmtp = flags & ESMTP};
    struct buf line = {0};
    xclient_write(&line, offered, &x);
    judge(buf_view(&line), offered, &x);
    buf_free(&line);
    return 0;
}
