/* rooms: ops */
/* A configuration file of any bytes: the result and the complaints agree, nothing is read past its end, nothing is leaked. */
#include "postern/ops/config.h"

#include <stdlib.h>

struct fuzz_reader { struct source_reader reader; struct str text; };

static struct source *fuzz_read(struct source_reader *r, const char *path, const char **error)
{
    (void)error;
    return source_new(path, ((struct fuzz_reader *)r)->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_reader r = {{fuzz_read}, {(const char *)data, n}};
    struct settings s;
    struct diags diags = {0};
    struct buf text = {0};
    bool good = config_load("fuzz/postern.conf", &r.reader, &s, &diags);
    if (good != (diags.errors == 0))
        abort();
    if (good && (s.hostname.n == 0 || s.domain_count == 0 || s.domains_any || s.backend_count == 0 || s.listen_count == 0))
        abort();
    diag_print(&diags, &text);
    buf_free(&text);
    settings_clear(&s);
    diag_clear(&diags);
    return 0;
}
