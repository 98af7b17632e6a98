/*
 * ledger.c - see ledger.h. Written without smtp/data.c, which it judges.
 */
#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ledger_violation(struct ledger *l, const char *format, ...)
{
    if (l->violation)
        return;
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    l->violation = buf_steal(&text);
}

void content_meant(struct str wire, struct buf *out)
{
    bool at_start = true; /* of a line that CRLF began */
    size_t i = 0;
    while (i < wire.n) {
        if (at_start && wire.p[i] == '.') {
            at_start = false;
            i++;
            continue;
        }
        size_t run = i;
        while (run < wire.n && wire.p[run] != '\r' && wire.p[run] != '\n')
            run++;
        buf_put(out, wire.p + i, run - i);
        at_start = false;
        i = run;
        if (i == wire.n)
            return;
        buf_cstr(out, "\r\n");
        at_start = wire.p[i] == '\r' && i + 1 < wire.n && wire.p[i + 1] == '\n';
        i += at_start ? 2 : 1;
    }
}

/* Octets of the header and of the empty line that ends it; all of them when there is none. */
static size_t header_of(struct str content)
{
    if (str_starts(content, STR("\r\n")))
        return 2;
    const char *at = content.n ? memmem(content.p, content.n, "\r\n\r\n", 4) : NULL;
    return at ? (size_t)(at - content.p) + 4 : content.n;
}

/* From behind the first empty line; nothing when there is none. */
static struct str body_of(struct str content)
{
    return str_sub(content, header_of(content), content.n);
}

static void text_meant(struct str octets, struct buf *out)
{
    for (size_t i = 0; i < octets.n;) {
        size_t run = i;
        while (run < octets.n && octets.p[run] != '\r' && octets.p[run] != '\n')
            run++;
        buf_put(out, octets.p + i, run - i);
        if (run < octets.n)
            buf_cstr(out, "\r\n");
        i = run + 1 + (run + 1 < octets.n && octets.p[run] == '\r' && octets.p[run + 1] == '\n');
    }
    if (out->n > 0 && out->p[out->n - 1] != '\n')
        buf_cstr(out, "\r\n");
}

void chunks_meant(struct str octets, bool binary, struct buf *out)
{
    size_t text = binary ? header_of(octets) : octets.n;
    text_meant(str_sub(octets, 0, text), out);
    buf_str(out, str_sub(octets, text, octets.n));
}

static bool ends_with(struct str s, struct str end)
{
    return s.n >= end.n && (end.n == 0 || memcmp(s.p + s.n - end.n, end.p, end.n) == 0);
}

/* Fields that may have been removed: the policy's (fields_removed), and those in our name. */
static bool may_lose_fields(const struct ledger *l, struct str content)
{
    size_t header = content.n - body_of(content).n;
    for (size_t i = 0; i < header && !l->fields_removed; i = str_find(content, '\n', i) + 1) {
        struct str at = str_sub(content, i, header);
        if (str_starts_nocase(at, STR("authentication-results")) || str_starts_nocase(at, STR("x-postern")))
            return true;
    }
    return l->fields_removed;
}

size_t ledger_client_sent(struct ledger *l, struct str meant)
{
    if ((l->count & (l->count - 1)) == 0)
        l->messages = xrealloc(l->messages, (l->count ? l->count * 2 : 1) * sizeof *l->messages);
    struct ledger_message *m = &l->messages[l->count];
    *m = (struct ledger_message){0};
    buf_str(&m->content, meant);
    return l->count++;
}

/* Where fields were removed, messages of which only the body is the same may be meant; one that is wholly the same comes first,
 * and the longest: anything ends with an empty one. */
enum likeness { UNLIKE, SAME_BODY, SAME };

static enum likeness likeness(const struct ledger *l, struct str content, struct str meant)
{
    if (ends_with(content, meant))
        return SAME;
    return may_lose_fields(l, meant) && ends_with(content, body_of(meant)) ? SAME_BODY : UNLIKE;
}

bool ledger_alike(const struct ledger *l, struct str content, struct str meant)
{
    return likeness(l, content, meant) != UNLIKE;
}

size_t ledger_backend_dot(struct ledger *l, struct str content)
{
    bool second = false;
    enum likeness best = UNLIKE;
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < l->count; i++) {
        enum likeness like = likeness(l, content, buf_view(&l->messages[i].content));
        second = second || (like && l->messages[i].at_backend);
        bool more = like > best || (like && like == best && l->messages[i].content.n > l->messages[found].content.n);
        if (more && !l->messages[i].at_backend) {
            best = like;
            found = i;
        }
    }
    if (found < l->count)
        l->messages[found].at_backend = true;
    else if (second)
        ledger_violation(l, "a backend got the final dot of a message that a backend already had");
    else
        ledger_violation(l, "a backend got a message that no client had sent (%zu octets)", content.n);
    return found;
}

void ledger_backend_took(struct ledger *l, size_t message)
{
    l->taken++;
    if (message < l->count)
        l->messages[message].taken = true;
}

/* Two clients may send the same message: then it is not known which of them a backend has. */
static bool swap_with_twin(struct ledger *l, size_t message)
{
    struct str content = buf_view(&l->messages[message].content);
    for (size_t i = 0; i < l->count; i++) {
        struct ledger_message *twin = &l->messages[i];
        if (twin->taken && !twin->told && str_eq(buf_view(&twin->content), content)) {
            twin->taken = l->messages[message].taken;
            twin->at_backend = l->messages[message].at_backend;
            l->messages[message].taken = l->messages[message].at_backend = true;
            return true;
        }
    }
    return false;
}

void ledger_client_told(struct ledger *l, size_t message, unsigned code)
{
    if (code / 100 != 2 || message >= l->count)
        return;
    if (!l->messages[message].taken && !swap_with_twin(l, message))
        ledger_violation(l, "%u after the dot, but no backend had said 2xx to that message", code);
    l->messages[message].told = true;
}

void ledger_clear(struct ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        buf_free(&l->messages[i].content);
    free(l->messages);
    free(l->violation);
    *l = (struct ledger){0};
}
