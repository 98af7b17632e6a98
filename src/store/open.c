/*
 * open.c - the settings' store. What a person wrote wrongly is said at once; what only does not work now is left to the store,
 * which tries again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/base/log.h"
#include "postern/base/source.h"
#include "postern/store/open.h"
#include "complain.h"
#include "sqlite_db.h"

enum { MEMORY_ENTRIES_MAX = 1000000, PASSWORD_MAX = 512 };

/* Can a database be there? The directory must be writable too, for the files beside it. */
static bool path_good(const char *path, char **error)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == path ? xstrndup("/", 1) : slash ? xstrndup(path, (size_t)(slash - path)) : xstrndup(".", 1);
    struct stat st;
    bool good = access(directory, W_OK | X_OK) == 0;
    if (good && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        good = complain(error, "store-path: %s is a directory; write the name of a file in it", path);
    else if (!good)
        complain(error, "store-path: cannot write to the directory %s: %s", directory, strerrordesc_np(errno));
    else if (access(path, F_OK) == 0 && access(path, R_OK | W_OK) != 0)
        good = complain(error, "store-path: cannot write to %s: %s", path, strerrordesc_np(errno));
    free(directory);
    return good;
}

/* The first line of the file, into *password (heap). */
static bool read_password(const char *path, char **password, char **error)
{
    const char *why = NULL;
    struct source *file = source_files.read(&source_files, path, &why);
    if (!file)
        return complain(error, "redis-password-file: cannot read %s: %s", path, why);
    struct str line = {file->text, strcspn(file->text, "\r\n")};
    bool good = line.n > 0 && line.n <= PASSWORD_MAX;
    if (good)
        *password = xstrndup(line.p, line.n);
    else
        complain(error, "redis-password-file: the first line of %s is %s", path, line.n ? "too long" : "empty");
    source_free(&file);
    return good;
}

/* password: heap, to be freed in either case; *out points into it. */
static bool redis_settings_of(const struct settings *s, struct redis_settings *out, char **password, char **error)
{
    *password = NULL;
    if (s->redis_user.n > 0 && s->redis_password_file.n == 0)
        return complain(error, "redis-user: a user needs a password: set redis-password-file");
    if (s->redis_password_file.n > 0 && !read_password(s->redis_password_file.p, password, error))
        return false;
    *out = (struct redis_settings){
        .address = s->redis,
        .ca = s->redis_ca,
        .name = s->redis_name,
        .certificate = s->redis_certificate,
        .key = s->redis_key,
        .user = s->redis_user,
        .password = str_of(*password),
        .prefix = s->redis_prefix,
        .database = s->redis_database,
        .deadline_ms = s->store_deadline,
    };
    return true;
}

static struct store *open_redis(struct loop *l, struct network *n, struct resolver *names, const struct settings *s, char **error)
{
    struct redis_settings settings;
    char *password;
    struct store *store = redis_settings_of(s, &settings, &password, error) ? store_redis(l, n, names, &settings, error) : NULL;
    free(password);
    return store;
}

static struct store *patient(struct store *s, const struct settings *settings)
{
    if (s)
        s->patience_ms = settings->store_deadline;
    return s;
}

const char *store_file_trouble(const struct settings *s)
{
    enum { HEADER = 64, USER_VERSION_AT = 60 }; /* of the database header, sqlite.org/fileformat.html section 1.3 */
    static const char magic[] = "SQLite format 3";
    unsigned char header[HEADER] = {0};
    FILE *f = s->store == STORE_SQLITE ? fopen(s->store_path.n ? s->store_path.p : STORE_DEFAULT_PATH, "re") : NULL;
    if (!f)
        return NULL;
    size_t n = fread(header, 1, sizeof header, f);
    fclose(f);
    if (n == 0) /* made, and not written to yet */
        return NULL;
    if (n < sizeof header || memcmp(header, magic, sizeof magic) != 0)
        return "it is no database of SQLite";
    const unsigned char *v = header + USER_VERSION_AT;
    unsigned long version = (unsigned long)v[0] << 24 | v[1] << 16 | v[2] << 8 | v[3];
    return version > DATABASE_VERSION ? "it was made by a newer version of Postern" : NULL;
}

bool store_default_good(char **why)
{
    return path_good(STORE_DEFAULT_PATH, why);
}

static struct store *open_default(struct loop *l)
{
    char *why = NULL;
    if (store_default_good(&why))
        return store_sqlite(l, STORE_DEFAULT_PATH);
    log_note(LOG_WARN_, "store-in-memory",
             "%s: greylist, marks, rates and history are lost when the process ends; make the directory or set store-path", why);
    free(why);
    return store_memory(l, MEMORY_ENTRIES_MAX);
}

struct store *store_open(struct loop *l, struct network *n, struct resolver *names, const struct settings *s, char **error)
{
    switch (s->store) {
    case STORE_MEMORY: return store_memory(l, MEMORY_ENTRIES_MAX);
    case STORE_REDIS: return open_redis(l, n, names, s, error);
    default: break;
    }
    if (s->store_path.n == 0)
        return patient(open_default(l), s);
    return path_good(s->store_path.p, error) ? patient(store_sqlite(l, s->store_path.p), s) : NULL; /* texts of settings end in NUL */
}

bool store_renew(struct store *s, const struct settings *settings, char **error)
{
    struct redis_settings redis;
    char *password;
    if (settings->store != STORE_REDIS)
        return true;
    bool good = redis_settings_of(settings, &redis, &password, error) && store_redis_renew(s, &redis, error);
    free(password);
    return good;
}

static struct stream *connect_nothing(struct network *n, struct str path, struct task *owner)
{
    (void)path;
    return stream_dead(n->loop, "nothing is connected by a check", owner);
}

bool store_settings_good(const struct settings *s, char **error)
{
    if (s->store == STORE_SQLITE)
        return s->store_path.n == 0 || path_good(s->store_path.p, error);
    if (s->store != STORE_REDIS)
        return true;
    struct loop *l = loop_new_simulated(0); /* it is never turned */
    struct network none = {.connect_unix = connect_nothing, .loop = l};
    struct store *store = open_redis(l, &none, NULL, s, error);
    bool good = store != NULL;
    store_free(&store);
    loop_free(&l);
    return good;
}
