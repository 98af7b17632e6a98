/*
 * explain_gather.c - scopes for what was given, every check started, and the wait for the evidence, which no dead resolver can make endless.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "explain.h"
#include "postern/checks/content.h"
#include "postern/mail/header.h"
#include "postern/smtp/data.h"

/* ---- the message ---- */

enum { MESSAGE_MAX = 1 << 30 };

static const char *read_all(int fd, struct buf *out)
{
    for (;;) {
        char *to = buf_room(out, 65536);
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? strerrordesc_np(errno) : NULL;
        out->n += (size_t)n;
        if (out->n > MESSAGE_MAX)
            return "larger than 1 GB";
    }
}

/* A file with Unix line ends throughout is a message as editors keep it, not one with bare newlines. */
static void unix_to_crlf(struct buf *octets)
{
    struct str s = buf_view(octets);
    for (size_t i = str_find(s, '\n', 0); i < s.n; i = str_find(s, '\n', i + 1)) {
        if (i > 0 && s.p[i - 1] == '\r')
            return;
    }
    struct buf out = {0};
    struct str rest = s;
    while (rest.n > 0) {
        size_t end = str_find(rest, '\n', 0);
        buf_str(&out, str_sub(rest, 0, end));
        if (end < rest.n)
            buf_cstr(&out, "\r\n");
        rest = str_sub(rest, end + 1, rest.n);
    }
    buf_free(octets);
    *octets = out;
}

static void read_content(struct header_reader *header, struct str wire, struct mail_tap *taps)
{
    struct buf kept = {0};
    header_begin(header, 0, NULL, 0, taps);
    header_feed(header, wire, &kept);
    header_end(header, &kept);
    header_clear(header);
    buf_free(&kept);
}

/* The same road that a client's message takes: dots stuffed, read until the dot, its header read. */
static void measure(struct explain *e, struct str octets)
{
    struct data_reader reader = {0};
    struct header_reader header;
    struct buf wire = {0}, content = {0};
    bool at_line_start = true;
    data_stuff(octets, &at_line_start, &wire);
    if (!str_ends_nocase(octets, STR("\r\n")) && octets.n > 0)
        buf_cstr(&wire, "\r\n");
    buf_cstr(&wire, ".\r\n");
    struct str in = buf_view(&wire);
    data_read(&reader, &in, &content);
    read_content(&header, buf_view(&content), NULL);
    e->subjects[STAGE_DATA].content = (struct content){.size = reader.size, .longest_line = reader.longest_line,
                                                       .received = header.received, .bare_newline = reader.bare_cr + reader.bare_lf > 0};
    e->nul_byte = reader.nul > 0;
    e->content = content;
    buf_free(&wire);
}

bool explain_read_message(struct explain *e, const char **error)
{
    struct buf octets = {0};
    bool standard = strcmp(e->options.message, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(e->options.message, O_RDONLY | O_CLOEXEC);
    *error = fd < 0 ? strerrordesc_np(errno) : read_all(fd, &octets);
    if (fd >= 0 && !standard)
        close(fd);
    if (!*error) {
        unix_to_crlf(&octets);
        measure(e, buf_view(&octets));
    }
    buf_free(&octets);
    return !*error;
}

/* ---- scopes ---- */

static bool belongs(const struct fact_info *info, enum stage stage)
{
    if (info->flags & FACT_SNAPSHOT)
        return fact_readable(info, stage);
    return info->stage == stage || (info->flags & FACT_ALSO_DATA && stage == STAGE_DATA);
}

static void write_assumptions(struct explain *e, struct scope *s)
{
    for (size_t i = 0; i < e->assumption_count; i++) {
        if (belongs(schema_fact(s->facts.schema, e->assumptions[i].fact), s->stage))
            facts_set_value(&s->facts, e->assumptions[i].fact, &e->assumptions[i].value);
    }
}

/* What a session would know by itself: a client with good manners, not encrypted. */
static void write_snapshots(struct scope *s)
{
    static const int no[] = {FACT_TLS, FACT_EARLY_TALK, FACT_EARLY_PIPELINING, FACT_HTTP};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        if (!facts_has(&s->facts, no[i]))
            facts_set_bool(&s->facts, no[i], false);
    }
    if (!facts_has(&s->facts, FACT_ERRORS))
        facts_set_number(&s->facts, FACT_ERRORS, 0);
}

static void write_not_given(struct scope *s)
{
    const struct schema *schema = s->facts.schema;
    for (size_t id = 0; id < schema_count(schema); id++) {
        const struct fact_info *info = schema_fact(schema, (int)id);
        if (info->stage == s->stage && !(info->flags & FACT_SNAPSHOT) && !facts_has(&s->facts, (int)id))
            facts_set_error(&s->facts, (int)id, STR("not given"));
    }
}

static struct scope *open_scope(struct explain *e, enum stage stage, struct scope *parent, const struct subject *subject)
{
    struct scope *s = scope_new(&e->world, e->policy, stage, parent, subject, &e->task, &e->dns_budget, loop_now(e->loop));
    write_assumptions(e, s);
    write_snapshots(s);
    return s;
}

/* The message, through the checks that read it. */
static void flow(struct explain *e, struct scope *s)
{
    struct header_reader header;
    struct mail_tap *taps = content_taps(s);
    if (taps)
        read_content(&header, buf_view(&e->content), taps);
    content_ended(s, &e->subjects[STAGE_DATA].content);
}

static void open_all(struct explain *e)
{
    struct scope *parent = NULL;
    for (enum stage stage = STAGE_CONNECT; stage <= STAGE_MAIL && stage <= e->deepest; stage++) {
        struct scope *s = e->scopes[stage] = open_scope(e, stage, parent, &e->subjects[stage]);
        parent = s;
        if (e->given[stage])
            decide_open_all(s);
        else
            write_not_given(s);
    }
    for (size_t i = 0; i < e->recipient_count; i++) {
        struct explain_recipient *r = &e->recipients[i];
        struct subject subject = {.recipient = r->path};
        r->scope = open_scope(e, STAGE_RCPT, parent, &subject);
        if (!facts_has(&r->scope->facts, FACT_RCPT_COUNT))
            facts_set_number(&r->scope->facts, FACT_RCPT_COUNT, (int64_t)i + 1);
        decide_open_all(r->scope);
    }
    if (e->given[STAGE_DATA]) {
        e->scopes[STAGE_DATA] = open_scope(e, STAGE_DATA, parent, &e->subjects[STAGE_DATA]);
        decide_open_all(e->scopes[STAGE_DATA]);
        flow(e, e->scopes[STAGE_DATA]);
    }
}

/* ---- waiting ---- */

static void woken(struct task *t)
{
    (void)t; /* that the turn ended is all there is to know */
}

static void deadline(struct timer *t)
{
    (void)t;
}

/* One scope after the other that has no other below it; NULL: that was the last. */
static struct scope *leaf(const struct explain *e, size_t i)
{
    if (i < e->recipient_count)
        return e->recipients[i].scope;
    if (i == e->recipient_count && e->scopes[STAGE_DATA])
        return e->scopes[STAGE_DATA];
    bool only = e->recipient_count == 0 && !e->scopes[STAGE_DATA];
    return only && i == 0 ? e->scopes[e->deepest] : NULL;
}

static uint64_t longest_deadline(const struct settings *s)
{
    const uint64_t all[] = {s->fcrdns_deadline, s->helo_deadline, s->dnsbl_deadline, s->sender_deadline, s->spf_deadline, s->dmarc_deadline,
                            s->store_deadline};
    uint64_t longest = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        longest = all[i] > longest ? all[i] : longest;
    return longest;
}

/* Until something arrives or `until` has come. False: it has. */
static bool wait_turn(struct explain *e, uint64_t until)
{
    if (loop_now(e->loop) >= until)
        return false;
    timer_set(e->loop, &e->timer, until);
    loop_turn(e->loop, true);
    timer_cancel(e->loop, &e->timer);
    return true;
}

static bool gathered(struct explain *e, uint64_t *next)
{
    bool all = true;
    *next = UINT64_MAX;
    for (size_t i = 0; leaf(e, i); i++) {
        all &= decide_gather(leaf(e, i));
        uint64_t at = decide_next_deadline(leaf(e, i));
        *next = at < *next ? at : *next;
    }
    return all;
}

/* Checks that wait for another's fact begin their time later: twice the longest is beyond any of them. */
static void wait_for_all(struct explain *e)
{
    uint64_t end = loop_now(e->loop) + 2 * longest_deadline(&e->settings) + 1000, next;
    while (!gathered(e, &next)) {
        if (!wait_turn(e, next > loop_now(e->loop) && next < end ? next : loop_now(e->loop) < end ? loop_now(e->loop) + 10 : end))
            break;
    }
    for (size_t i = 0; leaf(e, i); i++)
        decide_expire(leaf(e, i));
}

/* A list that lists everything or nothing rests (RFC 5782 section 5). A running proxy has asked for its test points long ago; here they are asked for
 * beside everything else, and waited for before the list is believed. */
static void probe_lists(struct explain *e)
{
    list_health_watch(e->health, e->policy, NULL);
    list_health_await(e->health, loop_now(e->loop) + e->settings.dnsbl_deadline);
    loop_turn(e->loop, false);
}

void explain_gather(struct explain *e)
{
    e->task.run = woken;
    e->timer.fire = deadline;
    probe_lists(e);
    open_all(e);
    wait_for_all(e);
}

void explain_stage(struct explain *e, struct scope *s, const struct decide_input *in, struct walk *walk)
{
    uint64_t end = loop_now(e->loop) + longest_deadline(&e->settings) + 1000;
    while (decide_stage(s, in, walk) == DECIDE_NOT_YET) {
        uint64_t next = decide_next_deadline(s), now = loop_now(e->loop);
        if (!wait_turn(e, next > now && next < end ? next : now < end ? now + 10 : end)) {
            decide_expire(s);
            decide_stage(s, in, walk);
            return;
        }
    }
}
