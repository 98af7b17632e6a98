/* Content in chunks, whole and byte by byte: what is held in the end, and what is refused. */
#include "content.h"

#include <criterion/criterion.h>
#include <string.h>

static void run(struct message *c, bool binary, struct str octets, size_t step, uint64_t limit, uint64_t header_limit)
{
    *c = (struct message){.spool = {.memory_max = SIZE_MAX, .directory = "/nonexistent"}};
    header_begin(&c->header, header_limit, NULL, 0, NULL);
    message_begin_chunks(c, binary);
    for (size_t at = 0; at < octets.n; at += step)
        message_take_chunk(c, str_sub(octets, at, at + step), limit);
    message_end_chunks(c, limit);
    message_end(c);
}

static void finish(struct message *c)
{
    header_clear(&c->header);
    spool_clear(&c->spool);
}

Test(message, a_what_is_held)
{
    static const struct {
        bool binary;
        struct str octets, held;
    } table[] = {
        {false, STR("A: b\r\n\r\ntext\r\n"), STR("A: b\r\n\r\ntext\r\n")},
        {false, STR("A: b\r\n\r\n.\r\nno end"), STR("A: b\r\n\r\n..\r\nno end\r\n")},
        {false, STR("A: b\n\n.x\r.y\n"), STR("A: b\r\n\r\n..x\r\n..y\r\n")},
        {true, STR("A: b\r\n\r\n.\r\nno end"), STR("A: b\r\n\r\n.\r\nno end")},
        {true, STR("A: b\r\n\r\n\0\x01\r\r\n\n.\n\0"), STR("A: b\r\n\r\n\0\x01\r\r\n\n.\n\0")},
        {true, STR("\r\n.\r\n\r\n"), STR("\r\n.\r\n\r\n")},
        {true, STR("A: b\nC: d\r\n\r\nx\ny"), STR("A: b\r\nC: d\r\n\r\nx\ny")}, /* the header is text */
        {true, STR(".A: b\r\n"), STR(".A: b\r\n")},
        {true, STR(".A: b\r"), STR(".A: b\r\n")},
        {true, STR("no field\r\nx.y\r\n.z"), STR("no field\r\nx.y\r\n.z\r\n")},
        {true, STR(""), STR("")},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t step = 1; step <= table[i].octets.n + 1; step++) {
            struct message c;
            struct buf scratch = {0}, plain = {0};
            bool start = true;
            run(&c, table[i].binary, table[i].octets, step, 0, 0);
            struct str held = spool_read(&c.spool, 0, SIZE_MAX, &scratch);
            cr_expect(str_eq(held, table[i].held) || held.n + table[i].held.n == 0, "%zu by %zu: %.*s", i, step, STR_ARG(held));
            data_unstuff(held, &start, &plain);
            cr_expect_eq(c.data.size, table[i].binary ? held.n : plain.n);
            cr_expect_not(c.refused);
            buf_free(&scratch);
            buf_free(&plain);
            finish(&c);
        }
    }
}

Test(message, b_what_is_refused)
{
    static const struct {
        bool binary;
        struct str octets;
        uint64_t limit, header_limit;
        bool refused, too_big;
    } table[] = {
        {false, STR("A: b\r\n\r\n0123456789"), 20, 0, false, false}, /* with the end of its line */
        {false, STR("A: b\r\n\r\n0123456789"), 19, 0, true, false},
        {true, STR("A: b\r\n\r\n0123456789"), 18, 0, false, false},
        {true, STR("A: b\r\n\r\n0123456789"), 17, 0, true, false},
        {true, STR("A: b\r\n\r\n0123456789"), 4, 0, true, false},
        {false, STR("A: b\r\n\r\n0123456789"), 0, 8, false, false},
        {false, STR("A: b\r\n\r\n0123456789"), 0, 7, true, true},
        {true, STR("A: b\r\n\r\n0123456789"), 0, 7, true, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t step = 1; step <= table[i].octets.n; step++) {
            struct message c;
            run(&c, table[i].binary, table[i].octets, step, table[i].limit, table[i].header_limit);
            cr_expect_eq(c.refused, table[i].refused, "%zu by %zu", i, step);
            cr_expect_eq(c.header.too_big, table[i].too_big, "%zu by %zu", i, step);
            cr_expect(!c.refused || c.spool.size == 0, "%zu by %zu: nothing is held of it", i, step);
            cr_expect_eq(c.data.size, table[i].octets.n + (table[i].binary ? 0 : 2), "all of it is counted");
            finish(&c);
        }
    }
}
