/* rooms: mail */
/*
 * From fields of any octets: an error, or a domain that DNS could hold, lower case, that reads to itself again. Read together
 * with a second field it is an error; an address of a reserved domain added to it never leaves another domain standing.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/mail/from.h"
#include "postern/smtp/command.h"

static enum from_error read_one(struct str field, struct arena *arena, struct from_author *author)
{
    from_read(&field, 1, arena, author);
    assert(author->error < FROM_ERROR_COUNT);
    assert((author->error == FROM_OK) == (author->domain.n > 0));
    return author->error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct buf field = {0};
    struct from_author author, again;
    struct str name;

    buf_cstr(&field, "From:");
    buf_put(&field, data, size);
    if (read_one(buf_view(&field), &arena, &author) == FROM_OK) {
        assert(author.domain.n <= 253 && domain_valid(author.domain));
        assert(domain_ascii(author.domain, &arena, &name) && str_eq(name, author.domain));
        buf_cstr(&field, ", x@added.invalid");
        enum from_error error = read_one(buf_view(&field), &arena, &again);
        assert(error != FROM_OK || str_eq(again.domain, author.domain));
        assert(str_eq(author.domain, STR("added.invalid")) || error == FROM_MULTIPLE_DOMAINS || error == FROM_TOO_MANY);
    }
    struct str two[2] = {buf_view(&field), buf_view(&field)};
    from_read(two, 2, &arena, &author);
    assert(author.error == FROM_MULTIPLE_FIELDS);
    struct str bare = {(const char *)data, size};
    from_read(&bare, 1, &arena, &author);
    domain_ascii(bare, &arena, &name);
    arena_clear(&arena);
    buf_free(&field);
    return 0;
}
