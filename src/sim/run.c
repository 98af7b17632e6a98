/*
 * run.c - the steps of a script, one after the other.
 *
 * An expectation waits in virtual time, as long as something may still happen within its patience. A client says what stands in
 * the script without waiting for anything: what it must wait for is written before it.
 */
#include "run.h"

#include "postern/base/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENIENT_MS UINT64_C(2700000) /* a reply comes within the longest time-out of ours: 45 minutes */

void run_fail(struct run *r, const struct step *step, const char *format, ...)
{
    if (r->failure || r->how->lenient)
        return;
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_printf(&text, "%s:%u: ", r->script->source->name, step->line);
    buf_vprintf(&text, format, args);
    if (step->again)
        buf_printf(&text, " (said again at line %u)", step->again);
    va_end(args);
    r->failure = buf_steal(&text);
}

/* --- the server's lines ----------------------------------------------------------------------------------------------------- */

/* A refusal may end in " [ID]"; patterns need not know it. */
static struct str without_id(struct str line)
{
    size_t open = line.n;
    if (line.n < 6 || (line.p[0] != '4' && line.p[0] != '5') || line.p[line.n - 1] != ']')
        return line;
    while (open > 0 && line.p[open - 1] != '[')
        open--;
    if (open < 2 || line.p[open - 2] != ' ' || open == line.n - 1)
        return line;
    for (size_t i = open; i < line.n - 1; i++) {
        char c = line.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.'))
            return line;
    }
    return str_sub(line, 0, open - 2);
}

static bool line_there(struct world *w, const void *what)
{
    const struct sim_client *c = what;
    struct str line;
    (void)w;
    return c->closed || !c->stream || sim_client_line((struct sim_client *)(uintptr_t)what, &line);
}

/* "250-*" alone: the rest of the reply, whatever it says. */
static bool whole_reply(struct str pattern)
{
    return pattern.n == 5 && pattern.p[3] == '-' && pattern.p[4] == '*';
}

static bool show_missing(struct run *r, const struct step *step, struct sim_client *c)
{
    if (c->closed || !c->stream)
        run_fail(r, step, "expected \"%.*s\", the server has closed the connection", STR_ARG(step->pattern));
    else
        run_fail(r, step, "expected \"%.*s\", the server said nothing", STR_ARG(step->pattern));
    return false;
}

static bool step_line(struct run *r, const struct step *step)
{
    struct world *w = &r->world;
    struct sim_client *c = &w->clients[step->actor];
    bool all = whole_reply(step->pattern);
    struct str line;
    for (bool more = true; more;) {
        world_wait(w, w->patience_ms, line_there, c);
        if (!sim_client_line(c, &line))
            return show_missing(r, step, c);
        bool same = all ? str_starts(line, str_sub(step->pattern, 0, 3)) && line.n > 3
                        : pattern_match(step->pattern, line) || pattern_match(step->pattern, without_id(line));
        if (!same) {
            struct buf shown = {0};
            escape_text(&shown, line);
            run_fail(r, step, "expected \"%.*s\", the server said \"%.*s\"", STR_ARG(step->pattern), STR_ARG(buf_view(&shown)));
            buf_free(&shown);
            return false;
        }
        more = all && line.p[3] == '-';
        sim_client_line_taken(c);
    }
    return true;
}

/* What the server said and nobody expected. */
static void nothing_unread(struct run *r, const struct step *step, struct sim_client *c)
{
    struct str line = buf_view(&c->unread);
    if (line.n == 0)
        return;
    sim_client_line(c, &line);
    struct buf shown = {0};
    escape_text(&shown, line);
    run_fail(r, step, "the server said \"%.*s\", which is not expected", STR_ARG(buf_view(&shown)));
    buf_free(&shown);
}

static bool is_closed(struct world *w, const void *what)
{
    const struct sim_client *c = what;
    (void)w;
    return c->closed || !c->stream;
}

static void step_closed(struct run *r, const struct step *step)
{
    struct sim_client *c = &r->world.clients[step->actor];
    bool closed = world_wait(&r->world, r->world.patience_ms, is_closed, c);
    nothing_unread(r, step, c);
    if (!closed)
        run_fail(r, step, "expected the server to close the connection");
}

/* --- the backend's lines ---------------------------------------------------------------------------------------------------- */

struct got {
    struct sim_backend *backend;
    const struct step *step;
};

static bool next_line(const struct sim_backend *b, size_t *at, struct str *line)
{
    struct str all = buf_view(&b->lines);
    if (*at >= all.n)
        return false;
    size_t end = str_find(all, '\n', *at);
    *line = str_sub(all, *at, end);
    *at = end + 1;
    return true;
}

static bool got_it(struct world *w, const void *what)
{
    const struct got *g = what;
    size_t at = g->backend->looked;
    struct str line;
    (void)w;
    while (next_line(g->backend, &at, &line)) {
        if (pattern_match(g->step->pattern, line)) {
            g->backend->looked = at;
            return true;
        }
        if (g->step->kind == STEP_GOT_NEXT)
            return true; /* another one: told apart by `looked` */
    }
    return false;
}

static void step_backend(struct run *r, const struct step *step)
{
    struct world *w = &r->world;
    struct got g = {&w->backends[step->actor], step};
    size_t before = g.backend->looked, at = 0;
    struct str line = STR_NONE;
    world_settle(w);
    if (step->kind == STEP_GOT_NEVER) {
        while (next_line(g.backend, &at, &line)) {
            if (pattern_match(step->pattern, line))
                run_fail(r, step, "the backend got \"%.*s\"", STR_ARG(line));
        }
        return;
    }
    at = before;
    if (step->kind == STEP_GOT_NOTHING) {
        if (next_line(g.backend, &at, &line))
            run_fail(r, step, "the backend got \"%.*s\", which is not expected", STR_ARG(line));
        return;
    }
    world_wait(w, w->patience_ms, got_it, &g);
    if (g.backend->looked != before)
        return;
    bool any = next_line(g.backend, &at, &line);
    run_fail(r, step, "expected the backend to get \"%.*s\", it got %s%.*s%s", STR_ARG(step->pattern), any ? "\"" : "nothing",
             STR_ARG(line), any ? "\" ..." : "");
}

/* --- lenient: a sensible client --------------------------------------------------------------------------------------------- */

struct replies { const struct sim_client *client; size_t wanted; };

static bool replies_there(struct world *w, const void *what)
{
    const struct replies *x = what;
    (void)w;
    return is_closed(w, x->client) || sim_client_replies(x->client) >= x->wanted;
}

static void lenient_line(struct run *r, const struct step *step)
{
    struct sim_client *c = &r->world.clients[step->actor];
    bool last = step->pattern.n < 4 || step->pattern.p[3] != '-' || whole_reply(step->pattern);
    if (!last || r->clients[step->actor].skip_replies || c->closed || !c->stream)
        return;
    struct replies x = {c, ++c->replies_taken};
    if (!world_wait(&r->world, LENIENT_MS, replies_there, &x) && !c->cut && observer_waits(&c->observer))
        ledger_violation(&r->world.ledger, "line %u: no reply within 45 minutes", step->line);
    unsigned code = sim_client_code(c, x.wanted - 1);
    if (str_starts(step->pattern, STR("354")) && code != 354)
        r->clients[step->actor].refused = true;
}

/* Content is said after a 354 only. True: say it. */
static bool lenient_send(struct run *r, const struct step *step)
{
    struct driver *m = &r->clients[step->actor];
    if (!r->how->lenient)
        return true;
    if (!step->content)
        m->refused = false;
    m->skip_replies = m->refused;
    return !m->refused;
}

/* --- steps ------------------------------------------------------------------------------------------------------------------ */

static void ensure_connected(struct run *r, const struct step *step)
{
    struct sim_client *c = &r->world.clients[step->actor];
    world_start(&r->world);
    if (!c->connected)
        sim_client_connect(c);
}

static void step_address(struct run *r, const struct step *step)
{
    struct addr_port *to = &r->world.clients[step->actor].address;
    struct addr_port parsed = {.port = to->port};
    if (step->text.n == 0)
        return;
    if (addr_parse(step->text, &parsed.addr) || addr_port_parse(step->text, to->port, &parsed))
        *to = parsed;
}

static void step_connect(struct run *r, const struct step *step)
{
    struct sim_client *c = &r->world.clients[step->actor];
    world_start(&r->world);
    if (c->connected) {
        world_settle(&r->world);
        nothing_unread(r, step, c);
        sim_client_hang_up(c, CUT_CLOSE);
        world_settle(&r->world);
    }
    expect_settle(r);
    r->clients[step->actor] = (struct driver){false, false};
    step_address(r, step);
    sim_client_connect(c);
}

static void step_send(struct run *r, const struct step *step)
{
    ensure_connected(r, step);
    if (!lenient_send(r, step))
        return;
    r->speaker = step->actor;
    sim_client_send(&r->world.clients[step->actor], step->text);
}

static void step_hang_up(struct run *r, const struct step *step, enum cut how)
{
    struct sim_client *c = &r->world.clients[step->actor];
    ensure_connected(r, step);
    world_settle(&r->world);
    nothing_unread(r, step, c);
    buf_clear(&c->unread);
    sim_client_hang_up(c, how);
    world_settle(&r->world);
}

/* A sensible client does not begin with TLS where it was told no. */
static void step_tls(struct run *r, const struct step *step)
{
    struct sim_client *c = &r->world.clients[step->actor];
    ensure_connected(r, step);
    size_t replies = sim_client_replies(c);
    bool told_no = replies > 0 && sim_client_code(c, replies - 1) != 220;
    if (!(r->how->lenient && told_no))
        sim_client_tls(c, step->text, (enum tls_asked)step->number);
    world_settle(&r->world);
}

static void step_client(struct run *r, const struct step *step)
{
    struct sim_client *c = &r->world.clients[step->actor];
    switch (step->kind) {
    case STEP_SEND:
        step_send(r, step);
        break;
    case STEP_LINE:
        ensure_connected(r, step);
        if (r->how->lenient)
            lenient_line(r, step);
        else
            step_line(r, step);
        break;
    case STEP_CLOSED:
        if (!r->how->lenient)
            step_closed(r, step);
        break;
    case STEP_NOTHING:
        ensure_connected(r, step);
        world_settle(&r->world);
        if (!r->how->dns_order && !r->how->merge && !r->how->lenient) /* answers of a group may leave together */
            nothing_unread(r, step, c);
        break;
    case STEP_TLS:
        step_tls(r, step);
        break;
    case STEP_NOTIFY:
        world_settle(&r->world);
        sim_client_notify(c);
        world_settle(&r->world);
        break;
    case STEP_CONNECT:
        step_connect(r, step);
        break;
    case STEP_ADDRESS:
        step_address(r, step);
        break;
    default:
        step_hang_up(r, step, step->kind == STEP_RESET ? CUT_RESET : step->kind == STEP_HALF_CLOSE ? CUT_HALF : CUT_CLOSE);
        break;
    }
}

static void step_world(struct run *r, const struct step *step)
{
    struct world *w = &r->world;
    switch (step->kind) {
    case STEP_WAIT:
        world_start(w);
        world_advance(w, step->number);
        break;
    case STEP_SETTLE:
        world_settle(w);
        break;
    case STEP_PATIENCE:
        w->patience_ms = step->number;
        break;
    case STEP_DNS:
        sim_dns_add(&w->dns, step->dns);
        break;
    case STEP_BACKEND:
        sim_backend_change(&w->backends[step->backend->index], step->backend);
        break;
    case STEP_STORE:
        sim_store_mood(w->store, (enum store_mood)step->number, step->number2);
        break;
    case STEP_SPOOL:
        sim_spool_fail(step->number == MOOD_FAILING);
        break;
    case STEP_POLICY:
        world_start(w);
        world_policy(w, step->policy);
        break;
    case STEP_SHADOW:
        world_start(w);
        world_shadow(w, step->policy);
        break;
    case STEP_HEALTH:
        world_probe_lists(w);
        break;
    case STEP_DRAIN:
        world_start(w);
        proxy_drain(w->proxy, NULL, NULL);
        break;
    default:
        break;
    }
}

static void run_step(struct run *r, const struct step *step)
{
    if (step->kind <= STEP_HALF_CLOSE)
        step_client(r, step);
    else if (step->kind >= STEP_GOT && step->kind <= STEP_GOT_NOTHING) {
        if (!r->how->lenient)
            step_backend(r, step);
    } else if (step->kind >= STEP_VERDICT) {
        if (!r->how->lenient)
            expect_step(r, step);
    } else {
        step_world(r, step);
    }
}

/* May the next segment be joined to this one? Only replies stand between them, and this one ends in a command that ends no group
 * (RFC 2920). */
static size_t mergeable(const struct script *s, size_t at)
{
    static const char *const verbs[] = {"MAIL", "RCPT", "RSET"};
    const struct step *step = &s->steps[at];
    if (step->content || !str_ends_nocase(step->text, STR("\r\n")))
        return 0;
    size_t start = step->text.n - 2;
    while (start > 0 && step->text.p[start - 1] != '\n')
        start--;
    bool open = false;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        open = open || str_eq_nocase(str_sub(step->text, start, start + 4), str_of(verbs[i]));
    size_t next = at + 1;
    while (next < s->count && s->steps[next].kind == STEP_LINE && s->steps[next].actor == step->actor)
        next++;
    bool send =
        open && next > at + 1 && next < s->count && s->steps[next].kind == STEP_SEND && s->steps[next].actor == step->actor;
    return send ? next : 0;
}

/* Says this segment and all that may be joined to it in one; the replies are then expected in order. Returns the last of the
 * joined steps. */
static size_t run_merged(struct run *r, size_t at)
{
    const struct script *s = r->script;
    struct buf all = {0};
    size_t last = at, next;
    buf_str(&all, s->steps[at].text);
    while ((next = mergeable(s, last)) > 0) {
        buf_str(&all, s->steps[next].text);
        last = next;
    }
    struct step joined = s->steps[at];
    joined.text = buf_view(&all);
    run_step(r, &joined);
    buf_free(&all);
    for (size_t i = at + 1; i < last && !r->failure; i++) {
        if (s->steps[i].kind == STEP_LINE)
            run_step(r, &s->steps[i]);
    }
    return last;
}

static void run_steps(struct run *r)
{
    const struct script *s = r->script;
    for (size_t i = 0; i < s->count && !r->failure; i++) {
        if (r->how->merge && s->steps[i].kind == STEP_SEND)
            i = run_merged(r, i);
        else
            run_step(r, &s->steps[i]);
        expect_record_came(r);
    }
}

static void run_finish(struct run *r)
{
    struct world *w = &r->world;
    struct step end = {.line = 1};
    for (size_t i = 0; i < r->script->count; i++)
        end.line = r->script->steps[i].line > end.line ? r->script->steps[i].line : end.line;
    world_start(w);
    world_settle(w);
    for (size_t i = 0; i < ACTORS_MAX; i++)
        nothing_unread(r, &end, &w->clients[i]);
    world_close(w);
    expect_settle(r);
    world_end(w);
}

void run_script(struct run *r, const struct script *script, const struct perturbation *how)
{
    *r = (struct run){.script = script, .how = how};
    world_begin(&r->world, script, how);
    run_steps(r);
    run_finish(r);
    if (!r->failure && r->world.ledger.violation) {
        struct buf text = {0};
        buf_printf(&text, "%s: %s", script->source->name, r->world.ledger.violation);
        r->failure = buf_steal(&text);
    }
}

void run_clear(struct run *r)
{
    world_clear(&r->world);
    free(r->failure);
    free(r->awaited);
}
