/*
 * One suite for all stores: memory, SQLite, Redis. The same operations give the same results in each.
 * Random sequences of them are held against a model in test_store_model.c.
 */
#include "suite.h"

#define TOUCH(k, name, now, ttl, ...)                                                                                            \
    (&(struct store_operation){                                                                                                  \
        .kind = STORE_##k, .mode = STORE_TOUCH, .key = str_of(name), .now_ms = now, .ttl_ms = ttl, __VA_ARGS__})
#define PEEK(k, name, now, ...) \
    (&(struct store_operation){.kind = STORE_##k, .mode = STORE_PEEK, .key = str_of(name), .now_ms = now, __VA_ARGS__})
#define EACH_STORE(s, kind) \
    for (int kind = 0; kind < KINDS; kind++) \
        for (struct store *s = open_kind(kind); s; store_free(&s))

/* --- what each kind means --------------------------------------------------------------------------------------------------- */

Test(suite, marks, .init = begin, .fini = server_end)
{
    EACH_STORE (s, kind) {
        cr_assert(!ask(s, PEEK(MARK, "k", 100)).found, "%s", names[kind]);
        cr_assert(!ask(s, TOUCH(MARK, "k", 100, 50)).found, "%s: a peek writes nothing", names[kind]);
        cr_assert(ask(s, PEEK(MARK, "k", 149)).found, "%s", names[kind]);
        cr_assert(!ask(s, PEEK(MARK, "k", 150)).found, "%s: there while now < expires", names[kind]);
        cr_assert(!ask(s, PEEK(MARK, "K", 110)).found, "%s", names[kind]);
        ask(s, TOUCH(MARK, "k", 140, 1));
        cr_assert(ask(s, PEEK(MARK, "k", 149)).found, "%s: a shorter mark does not end a longer one", names[kind]);
        ask(s, TOUCH(MARK, "k", 140, 50));
        cr_assert(ask(s, PEEK(MARK, "k", 189)).found, "%s: marked again, it lives longer", names[kind]);
        cr_assert(!ask(s, PEEK(GREYLIST, "k", 141)).found, "%s: a mark is no greylist row", names[kind]);
    }
}

Test(suite, greylist, .init = begin, .fini = server_end)
{
    EACH_STORE (s, kind) {
        struct store_result r = ask(s, TOUCH(GREYLIST, "k", 100, 50));
        cr_assert(!r.found && !r.known && r.first_seen_ms == 100 && r.row.last_ms == 100 && r.row.expires_ms == 150, "%s",
                  names[kind]);
        r = ask(s, TOUCH(GREYLIST, "k", 130, 50));
        cr_assert(r.found && !r.known && r.first_seen_ms == 100 && r.row.last_ms == 130 && r.row.expires_ms == 150, "%s",
                  names[kind]);
        r = ask(s, PEEK(GREYLIST, "k", 149));
        cr_assert(r.found && r.row.last_ms == 130, "%s", names[kind]);
        r = ask(s, TOUCH(GREYLIST, "k", 150, 50));
        cr_assert(!r.found && r.first_seen_ms == 150, "%s: the retry window is over, it begins anew", names[kind]);
        ask(s, TOUCH(PASSED, "k", 160, 1000));
        r = ask(s, TOUCH(GREYLIST, "k", 1159, 50));
        cr_assert(r.found && r.known && r.row.passed == 1 && r.first_seen_ms == 150 && r.row.expires_ms == 1160, "%s",
                  names[kind]);
        cr_assert(r.row.last_ms == 160, "%s: who has passed is only read", names[kind]);
        ask(s, TOUCH(PASSED, "k", 1159, 1000));
        r = ask(s, PEEK(GREYLIST, "k", 2158));
        cr_assert(r.known && r.row.passed == 2, "%s: renewed by use", names[kind]);
        cr_assert(!ask(s, PEEK(GREYLIST, "k", 2159)).known, "%s", names[kind]);
        ask(s, TOUCH(PASSED, "ever", 5, UINT64_MAX));
        cr_assert(ask(s, PEEK(GREYLIST, "ever", STORE_FOREVER - 1)).known, "%s", names[kind]);
    }
}

Test(suite, clients_are_known_after_some_passes, .init = begin, .fini = server_end)
{
    EACH_STORE (s, kind) {
        struct str client = STR("bank.example\nbank.example");
        struct store_operation *look = TOUCH(GREYLIST, "third", 300, 50, .client = client, .passes_known = 2);
        ask(s, TOUCH(PASSED, "first", 100, 1000, .client = client));
        struct store_result r = ask(s, PEEK(GREYLIST, "third", 200, .client = client, .passes_known = 2));
        cr_assert(!r.found && !r.known && r.client_passes == 1, "%s", names[kind]);
        r = ask(s, TOUCH(PASSED, "second", 200, 1000, .client = client, .passes_known = 2));
        cr_assert(r.known && r.client_passes == 2, "%s", names[kind]);
        r = ask(s, look);
        cr_assert(!r.found && r.known && !r.settled && r.client_passes == 2, "%s: a known client, not this row", names[kind]);
        cr_assert(!ask(s, look).found, "%s: who is known leaves no row", names[kind]);
        look = PEEK(GREYLIST, "first", 300, .client = client, .passes_known = 2, .life_ms = 800);
        cr_assert(ask(s, look).settled, "%s", names[kind]);
        look->life_ms = 801;
        cr_assert(!ask(s, look).settled, "%s: its row would live longer", names[kind]);
        ask(s, TOUCH(PASSED, "first", 250, 1000));
        look->life_ms = 900;
        cr_assert(ask(s, look).settled, "%s: as long as its client", names[kind]);
        look->life_ms = 901;
        cr_assert(!ask(s, look).settled, "%s: its client would live longer", names[kind]);
        look->passes_known = 3, look->life_ms = 1;
        cr_assert(!ask(s, look).settled, "%s: its client's passes still count", names[kind]);
        look->passes_known = 0;
        cr_assert(ask(s, look).settled, "%s: they never do", names[kind]);
        cr_assert(!ask(s, PEEK(GREYLIST, "third", 300, .client = client, .passes_known = 3)).known, "%s", names[kind]);
        cr_assert(!ask(s, PEEK(GREYLIST, "third", 300, .client = client)).known, "%s: 0 is never", names[kind]);
        cr_assert(!ask(s, PEEK(GREYLIST, "third", 300, .client = STR("other"), .passes_known = 2)).known, "%s", names[kind]);
        r = ask(s, PEEK(GREYLIST, "third", 1200, .client = client, .passes_known = 2));
        cr_assert(!r.known && r.client_passes == 0, "%s: the client's life is over", names[kind]);
        r = ask(s, PEEK(PASSED, "first", 300, .client = client, .passes_known = 9));
        cr_assert(r.found && r.known && r.row.passed == 2 && r.client_passes == 2, "%s: a peek counts nothing", names[kind]);
    }
}

Test(suite, rulings, .init = begin, .fini = server_end)
{
    struct str domains[] = {STR("a.b.example"), STR("C.example")};
    struct addr client;
    cr_assert(addr_parse(STR("192.0.2.1"), &client));
    EACH_STORE (s, kind) {
        struct store_operation *look = PEEK(GREYLIST, "k", 100, .ruled_client = client, .ruled_domains = domains, .ruled_domain_count = 2);
        cr_assert_eq(ask(s, look).ruling, STORE_NO_RULING, "%s", names[kind]);
        ask(s, TOUCH(DENY, "domain example", 50, 0));
        cr_assert_eq(ask(s, look).ruling, STORE_DENIED, "%s: a domain stands for all below it", names[kind]);
        ask(s, TOUCH(ALLOW, "domain c.example", 50, 0));
        cr_assert_eq(ask(s, look).ruling, STORE_DENIED, "%s: the first domain before the second", names[kind]);
        ask(s, TOUCH(ALLOW, "domain b.example", 50, 0));
        cr_assert_eq(ask(s, look).ruling, STORE_ALLOWED, "%s: each before those above it", names[kind]);
        ask(s, TOUCH(DENY, "net 192.0.0.0/8", 50, 0));
        cr_assert_eq(ask(s, look).ruling, STORE_DENIED, "%s: networks before domains", names[kind]);
        cr_assert(!ask(s, TOUCH(ALLOW, "net 192.0.0.0/16", 50, 0)).found, "%s", names[kind]);
        struct store_result r = ask(s, look);
        cr_assert(r.ruling == STORE_ALLOWED && !r.known, "%s", names[kind]);
        ask(s, TOUCH(DENY, "net 192.0.2.0/24", 50, 100));
        cr_assert_eq(ask(s, look).ruling, STORE_DENIED, "%s: the narrowest holds", names[kind]);
        look->now_ms = 150;
        cr_assert_eq(ask(s, look).ruling, STORE_ALLOWED, "%s: the denial has expired", names[kind]);
        look->now_ms = STORE_FOREVER - 1;
        cr_assert_eq(ask(s, look).ruling, STORE_ALLOWED, "%s: 0 is for ever", names[kind]);
        look->now_ms = 100;
        cr_assert(ask(s, TOUCH(ALLOW, "net 192.0.2.0/24", 60, 0)).found, "%s", names[kind]);
        cr_assert_eq(ask(s, look).ruling, STORE_ALLOWED, "%s: the later of the two holds", names[kind]);
        static const char *const all[] = {"net 192.0.2.0/24", "net 192.0.0.0/16", "net 192.0.0.0/8", "domain b.example", "domain c.example",
                                          "domain example"};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            cr_assert(ask(s, TOUCH(FORGET, all[i], 100, 0, .table = STORE_TABLE_RULINGS)).found, "%s: %s", names[kind], all[i]);
        cr_assert(!ask(s, TOUCH(FORGET, all[0], 100, 0, .table = STORE_TABLE_RULINGS)).found, "%s", names[kind]);
        cr_assert_eq(ask(s, look).ruling, STORE_NO_RULING, "%s", names[kind]);
    }
}

/* Another process makes the first ruling that there is: each who asks from then on is told, once, and first contacts stay first contacts. */
Test(suite, the_first_ruling_is_seen_at_once, .init = begin, .fini = server_end)
{
    struct addr client;
    cr_assert(addr_parse(STR("2001:db8::1"), &client));
    EACH_STORE (s, kind) {
        struct store *other = kind == MEMORY ? s : open_kind(kind);
        struct answer *a = xcalloc(20, sizeof *a);
        char key[8];
        cr_assert_eq(ask(s, PEEK(GREYLIST, "k", 100, .ruled_client = client)).ruling, STORE_NO_RULING, "%s", names[kind]);
        ask(other, TOUCH(DENY, "net 2001:db8::/32", 50, 0));
        for (int i = 0; i < 20; i++) {
            snprintf(key, sizeof key, "%d", i);
            s->ops->start(s, TOUCH(GREYLIST, key, 100, 1000, .ruled_client = client), take_answer, &a[i]);
        }
        for (int i = 0; i < 20; i++) {
            wait_for(&a[i].times, 1);
            cr_assert(!a[i].result.error && !a[i].result.found && a[i].result.first_seen_ms == 100, "%s: %d", names[kind], i);
            cr_assert_eq(a[i].result.ruling, STORE_DENIED, "%s: %d", names[kind], i);
        }
        ask(s, PEEK(GREYLIST, "k", 100, .ruled_client = client));
        for (int i = 0; i < 20; i++)
            cr_assert_eq(a[i].times, 1, "%s", names[kind]);
        free(a);
        if (other != s)
            store_free(&other);
    }
}

Test(suite, history, .init = begin, .fini = server_end)
{
    EACH_STORE (s, kind) {
        cr_assert_eq(ask(s, PEEK(HISTORY, "k", 90)).row.passed, 0, "%s", names[kind]);
        ask(s, TOUCH(HISTORY, "k", 100, 50, .amount = 1));
        struct store_result r = ask(s, TOUCH(HISTORY, "k", 140, 50, .amount = 2, .refused = 5));
        cr_assert(r.found && r.row.passed == 3 && r.row.refused == 5 && r.first_seen_ms == 100 && r.row.last_ms == 140, "%s",
                  names[kind]);
        r = ask(s, PEEK(HISTORY, "k", 189));
        cr_assert(r.found && r.row.passed == 3 && r.row.refused == 5, "%s", names[kind]);
        r = ask(s, PEEK(HISTORY, "k", 190));
        cr_assert(!r.found && r.row.passed == 0, "%s", names[kind]);
    }
}

Test(suite, rates, .init = begin, .fini = server_end)
{
    const uint64_t hour = 3600000, t = 1700000000000;
    EACH_STORE (s, kind) {
        cr_assert_eq(ask(s, PEEK(RATE, "k", t, .window_ms = hour)).count, 0, "%s", names[kind]);
        cr_assert_eq(ask(s, TOUCH(RATE, "k", t, 0, .window_ms = hour, .amount = 3)).count, 3, "%s", names[kind]);
        cr_assert_eq(ask(s, TOUCH(RATE, "k", t + hour / 2, 0, .window_ms = hour, .amount = 4)).count, 7, "%s", names[kind]);
        cr_assert_eq(ask(s, PEEK(RATE, "k", t + hour - 1, .window_ms = hour)).count, 7, "%s: the whole window counts",
                     names[kind]);
        cr_assert_eq(ask(s, PEEK(RATE, "k", t + hour + hour / 16 + 1, .window_ms = hour)).count, 4, "%s: at most 1/16 late",
                     names[kind]);
        cr_assert_eq(ask(s, PEEK(RATE, "k", t + 2 * hour, .window_ms = hour)).count, 0, "%s", names[kind]);
        cr_assert_eq(ask(s, PEEK(RATE, "k", t + hour - 1, .window_ms = hour)).count, 7, "%s: a peek forgets nothing",
                     names[kind]);
        cr_assert_eq(ask(s, PEEK(RATE, "k", t, .window_ms = hour / 2)).count, 0, "%s: another window is another rate",
                     names[kind]);
        cr_assert_eq(ask(s, TOUCH(RATE, "k", t + 10 * hour, 0, .window_ms = hour, .amount = 1)).count, 1, "%s", names[kind]);
        cr_assert_eq(ask(s, TOUCH(RATE, "k", t, 0, .window_ms = hour, .amount = 1)).count, 1,
                     "%s: a clock far behind adds nothing", names[kind]);
        cr_assert_eq(ask(s, TOUCH(RATE, "tiny", 5, 0, .window_ms = 0, .amount = UINT64_MAX)).count, UINT32_MAX, "%s",
                     names[kind]);
        cr_assert_eq(ask(s, TOUCH(RATE, "vast", t, 0, .window_ms = UINT64_MAX, .amount = 2)).count, 2, "%s", names[kind]);
        cr_assert_eq(ask(s, TOUCH(RATE, "late", UINT64_MAX, 0, .window_ms = UINT64_MAX, .amount = 2)).count, 2, "%s",
                     names[kind]);
    }
}

/* --- keys and requests ------------------------------------------------------------------------------------------------------ */

Test(suite, keys_are_any_bytes, .init = begin, .fini = server_end)
{
    char longest[STORE_KEY_MAX];
    memset(longest, '\xff', sizeof longest);
    const struct str keys[] = {
        STR("a\0b"),
        STR("a\0c"),
        STR("a"),
        STR("\r\n*3\r\n$3\r\nDEL\r\n"),
        STR("'; DROP TABLE entry; --"),
        STR("\"quoted\" \\ back"),
        STR("*?[a-z]"),
        STR("\xc3\xa4"),
        STR("\xff\xfe"),
        STR(" "),
        STR("%s%n"),
        {longest, sizeof longest},
        {longest, sizeof longest - 1},
        STR(""),
    };
    const size_t n = sizeof keys / sizeof keys[0];
    EACH_STORE (s, kind) {
        for (size_t i = 0; i < n; i++) {
            struct store_operation op = {
                .kind = STORE_HISTORY, .mode = STORE_TOUCH, .key = keys[i], .now_ms = 1, .ttl_ms = 100, .amount = i + 1};
            cr_assert(!ask(s, &op).found, "%s: key %zu", names[kind], i);
        }
        for (size_t i = 0; i < n; i++) {
            struct store_operation op = {.kind = STORE_SHOW, .table = STORE_TABLE_HISTORY, .key = keys[i], .now_ms = 2};
            cr_assert_eq(ask(s, &op).row.passed, i + 1, "%s: key %zu", names[kind], i);
        }
    }
}

Test(suite, operations_are_copied_and_answers_come_in_order, .init = begin, .fini = server_end)
{
    EACH_STORE (s, kind) {
        char key[] = "key", client[] = "client", domain[] = "domain";
        struct str domains[] = {{domain, 6}};
        struct answer *answers = xcalloc(100, sizeof *answers);
        ask(s, TOUCH(DENY, "domain domain", 1, 0));
        for (int i = 0; i < 100; i++) {
            struct store_operation op = {.kind = i % 2 ? STORE_PASSED : STORE_GREYLIST,
                                         .mode = STORE_TOUCH,
                                         .key = {key, 3},
                                         .now_ms = 5,
                                         .ttl_ms = 1000,
                                         .life_ms = 2000, /* never settled */
                                         .client = {client, 6},
                                         .ruled_domains = domains,
                                         .ruled_domain_count = 1};
            s->ops->start(s, &op, take_answer, &answers[i]);
        }
        memset(key, 'x', 3), memset(client, 'x', 6), memset(domain, 'x', 6);
        domains[0] = STR("nothing");
        wait_for(&answers[99].times, 1);
        for (int i = 0; i < 100; i++) {
            cr_assert(answers[i].times == 1 && !answers[i].result.error, "%s: %d %s", names[kind], i, answers[i].result.error);
            cr_assert_eq(answers[i].result.row.passed, (uint64_t)(i + 1) / 2, "%s: %d", names[kind], i);
            cr_assert_eq(answers[i].result.client_passes, (uint64_t)(i + 1) / 2, "%s: %d", names[kind], i);
            if (i % 2 == 0)
                cr_assert_eq(answers[i].result.ruling, STORE_DENIED, "%s: %d", names[kind], i);
        }
        free(answers);
    }
}

Test(suite, who_cancels_is_never_told, .init = begin, .fini = server_end)
{
    EACH_STORE (s, kind) {
        struct answer *a = xcalloc(3, sizeof *a);
        struct store_operation *op = TOUCH(MARK, "k", 1, 10);
        s->ops->start(s, op, take_answer, &a[0]);
        struct store_request *r = s->ops->start(s, op, take_answer, &a[1]);
        s->ops->start(s, op, take_answer, &a[2]);
        s->ops->cancel(s, r);
        wait_for(&a[2].times, 1);
        ask(s, op);
        cr_assert(a[0].times == 1 && a[1].times == 0, "%s", names[kind]);
        r = s->ops->start(s, TOUCH(MARK, "other", 1, 10), take_answer, &a[1]);
        loop_turn(loop, false);
        if (a[1].times == 0)
            s->ops->cancel(s, r);
        int times = a[1].times;
        ask(s, op);
        cr_assert_eq(a[1].times, times, "%s", names[kind]);
        s->ops->start(s, op, take_answer, &a[1]); /* the store goes first */
        store_free(&s);
        cr_assert_eq(a[1].times, times, "%s", names[kind]);
        free(a);
        s = store_memory(loop, 1); /* what the loop of kinds frees */
    }
}

/* --- administration --------------------------------------------------------------------------------------------------------- */

static void fill(struct store *s, int count)
{
    char key[32];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "192.0.2.0/24\n%d", i);
        ask(s, TOUCH(GREYLIST, key, 100, i % 10 ? 1000 : 10));
        snprintf(key, sizeof key, "192.0.2*0/24\n%d", i);
        ask(s, TOUCH(PASSED, key, 100, 1000));
    }
    ask(s, TOUCH(MARK, "192.0.2.0/24\n5", 100, 1000));
    ask(s, TOUCH(RATE, "192.0.2.0/24\n5", 100, 0, .window_ms = 10000, .amount = 7));
}

/* All pages; returns the sum of the rows listed, counted or removed, and checks that no page is too large. */
static size_t all_pages(struct store *s, struct store_operation op, bool seen[1000], struct store_stats *stats)
{
    size_t total = 0;
    struct answer *a = xcalloc(1, sizeof *a);
    char *cursor = NULL;
    for (int pages = 0;; pages++) {
        cr_assert_lt(pages, 1000);
        s->ops->start(s, &op, take_answer, a);
        wait_for(&a->times, 1);
        cr_assert_null(a->result.error, "%s", a->result.error);
        for (size_t i = 0; i < a->result.entry_count; i++) {
            const char *number = memchr(a->entries[i].key.p, '\n', a->entries[i].key.n);
            cr_assert(str_starts(a->entries[i].key, op.key));
            if (number && seen)
                seen[atoi(number + 1)] = true;
        }
        total += a->result.entry_count + a->result.count;
        if (stats) {
            stats->rows += a->result.stats.rows;
            stats->expired += a->result.stats.expired;
            stats->passed += a->result.stats.passed;
        }
        free(cursor);
        cursor = a->cursor ? xstrndup(a->cursor, a->cursor_n) : NULL;
        op.cursor = (struct str){cursor, a->cursor_n};
        answer_clear(a);
        if (!cursor)
            break;
    }
    free(a);
    return total;
}

Test(suite, lists_statistics_and_forgetting, .init = begin, .fini = server_end)
{
    enum { ROWS = 137 };
    EACH_STORE (s, kind) {
        static bool seen[1000];
        memset(seen, 0, sizeof seen);
        fill(s, ROWS);
        struct store_operation *list = PEEK(LIST, "192.0.2.0/24\n", 500, .table = STORE_TABLE_GREYLIST, .limit = 10);
        size_t live = 0;
        all_pages(s, *list, seen, NULL);
        for (int i = 0; i < ROWS; i++) {
            live += seen[i];
            cr_assert_eq(seen[i], i % 10 != 0, "%s: %d", names[kind], i);
        }
        list->key = STR("192.0.2*");
        cr_assert_geq(all_pages(s, *list, NULL, NULL), ROWS, "%s", names[kind]);
        list->key = STR("no such");
        cr_assert_eq(all_pages(s, *list, NULL, NULL), 0, "%s", names[kind]);

        struct store_stats stats = {0};
        all_pages(s, *PEEK(STATS, "", 500, .table = STORE_TABLE_GREYLIST, .limit = 10), NULL, &stats);
        cr_assert(stats.rows == 2 * ROWS && stats.expired == ROWS - live && stats.passed == ROWS,
                  "%s: %lu rows, %lu expired, %lu passed", names[kind], stats.rows, stats.expired, stats.passed);
        stats = (struct store_stats){0};
        all_pages(s, *PEEK(STATS, "", 500, .table = STORE_TABLE_RATES, .limit = 10), NULL, &stats);
        cr_assert(stats.rows == 1 && stats.expired == 0 && stats.passed == 1, "%s", names[kind]);

        struct store_result r = ask(s, PEEK(SHOW, "192.0.2.0/24\n5", 500, .table = STORE_TABLE_RATES));
        cr_assert(r.found && r.row.passed == 7, "%s", names[kind]);
        cr_assert(!ask(s, PEEK(SHOW, "192.0.2.0/24\n0", 500, .table = STORE_TABLE_GREYLIST)).found, "%s: expired", names[kind]);
        cr_assert(ask(s, PEEK(FORGET, "192.0.2.0/24\n5", 500, .table = STORE_TABLE_RATES)).found, "%s", names[kind]);
        cr_assert(ask(s, TOUCH(FORGET, "192.0.2.0/24\n5", 500, 0, .table = STORE_TABLE_RATES)).found,
                  "%s: a peek forgets nothing", names[kind]);
        cr_assert(!ask(s, PEEK(SHOW, "192.0.2.0/24\n5", 500, .table = STORE_TABLE_RATES)).found, "%s", names[kind]);

        struct store_operation *forget = TOUCH(FORGET_ALL, "192.0.2*0/24\n", 500, 0, .table = STORE_TABLE_GREYLIST, .limit = 50);
        cr_assert_eq(all_pages(s, *forget, NULL, NULL), ROWS, "%s", names[kind]);
        stats = (struct store_stats){0};
        all_pages(s, *PEEK(STATS, "", 500, .table = STORE_TABLE_GREYLIST, .limit = 500), NULL, &stats);
        cr_assert(stats.rows == ROWS && stats.passed == 0, "%s: only those of the prefix went", names[kind]);
        cr_assert(ask(s, PEEK(MARK, "192.0.2.0/24\n5", 500)).found, "%s: only those of the table went", names[kind]);
    }
}

/* --- two stores on one file, on one server ---------------------------------------------------------------------------------- */

Test(suite, two_proxies_act_as_one, .init = begin, .fini = server_end)
{
    for (int kind = SQLITE; kind <= REDIS; kind++) {
        struct store *one = open_kind(kind), *two = open_kind(kind);
        cr_assert(!ask(one, TOUCH(GREYLIST, "k", 100, 1000)).found);
        struct store_result r = ask(two, TOUCH(GREYLIST, "k", 400, 1000));
        cr_assert(r.found && r.first_seen_ms == 100, "%s", names[kind]);
        ask(two, TOUCH(PASSED, "k", 401, 1000));
        cr_assert(ask(one, PEEK(GREYLIST, "k", 402)).known, "%s", names[kind]);
        struct answer *a = xcalloc(400, sizeof *a);
        for (int i = 0; i < 400; i++)
            (i % 2 ? one : two)
                ->ops->start(i % 2 ? one : two, TOUCH(RATE, "sum", 500, 0, .window_ms = 1000, .amount = 1), take_answer, &a[i]);
        for (int i = 0; i < 400; i++) {
            wait_for(&a[i].times, 1);
            cr_assert_null(a[i].result.error, "%s: %s", names[kind], a[i].result.error);
        }
        cr_assert_eq(ask(one, PEEK(RATE, "sum", 500, .window_ms = 1000)).count, 400, "%s: each operation is atomic", names[kind]);
        free(a);
        store_free(&one);
        store_free(&two);
    }
}
