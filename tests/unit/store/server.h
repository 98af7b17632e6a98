/*
 * server.h - a Redis server of the test's own: on a Unix socket, and over TLS at a port of localhost, with certificates that an
 * authority made for it; it keeps nothing.
 */
#ifndef TESTS_STORE_SERVER_H
#define TESTS_STORE_SERVER_H

#include "places.h"

#include <netinet/in.h>

#include "postern/net/tls_make.h"

#define REDIS_SERVER "/usr/bin/redis-server"

static struct network *network;
static pid_t redis_pid;
static uint16_t redis_port;     /* TLS */
static struct buf redis_address; /* "rediss://localhost:PORT" */

/* --- certificates: authority.pem, server.pem (localhost and its addresses), client.pem, other.pem (of another name) --- */

static inline void write_file(const char *name, const struct buf *certificate, const struct buf *key)
{
    char path[128];
    FILE *f = fopen(file_in(name, path), "w");
    cr_assert(f && fwrite(certificate->p, 1, certificate->n, f) == certificate->n && fwrite(key->p, 1, key->n, f) == key->n);
    cr_assert_eq(fclose(f), 0);
}

static inline void make_certificates(void)
{
    static const struct { const char *file; struct str names[3]; size_t count; bool authority; } wanted[] = {
        {"authority.pem", {STR("authority.example")}, 1, true},
        {"server.pem", {STR("localhost"), STR("127.0.0.1"), STR("redis.example")}, 3, false},
        {"other.pem", {STR("elsewhere.example")}, 1, false},
        {"client.pem", {STR("proxy.example")}, 1, false},
    };
    struct buf issuer = {0}, issuer_key = {0};
    uint64_t now = (uint64_t)time(NULL) * 1000;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct buf certificate = {0}, key = {0};
        struct tls_make how = {.names = wanted[i].names, .count = wanted[i].count, .from_ms = now - 3600000, .to_ms = now + 86400000,
                               .authority = wanted[i].authority, .issuer_certificate = buf_view(&issuer),
                               .issuer_key = buf_view(&issuer_key)};
        cr_assert(tls_make_certificate(&how, &certificate, &key), "%s", wanted[i].file);
        write_file(wanted[i].file, &certificate, &key);
        if (i == 0) {
            issuer = certificate;
            issuer_key = key;
        } else {
            buf_free(&certificate);
            buf_free(&key);
        }
    }
    buf_free(&issuer);
    buf_free(&issuer_key);
}

/* --- the process --- */

/* One command, one answer, over the Unix socket; the length of the answer, or -1. */
static inline ssize_t redis_say(const char *text, char *reply, size_t size)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char path[128];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n = -1;
    file_in("redis.sock", path);
    memcpy(to.sun_path, path, strlen(path) + 1); /* ours: short */
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text))
        n = read(fd, reply, size - 1);
    reply[n > 0 ? n : 0] = '\0';
    close(fd);
    return n;
}

static inline void command_to_server(const char *text, char *reply, size_t size)
{
    cr_assert_gt(redis_say(text, reply, size), 0);
}

static inline bool redis_answers(void)
{
    char reply[64];
    return redis_say("PING\r\n", reply, sizeof reply) > 0 &&
           (strncmp(reply, "+PONG", 5) == 0 || strncmp(reply, "-NOAUTH", 7) == 0);
}

static inline uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    close(fd);
    return ntohs(at.sin_port);
}

static inline void redis_exec(const char *port, const char *server_file, const char *clients)
{
    char socket_path[128], certificate[128], authority[128];
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    execl(REDIS_SERVER, REDIS_SERVER, "--port", "0", "--unixsocket", file_in("redis.sock", socket_path), "--bind", "127.0.0.1",
          "--tls-port", port, "--tls-cert-file", file_in(server_file, certificate), "--tls-key-file", certificate,
          "--tls-ca-cert-file", file_in("authority.pem", authority), "--tls-auth-clients", clients, "--save", "", "--appendonly",
          "no", "--dir", directory, (char *)NULL);
    _exit(127);
}

/* server_file: its certificate; clients: "no", "optional" or "yes", must they show one? A second time: at the same port. */
static inline void redis_run_as(const char *server_file, const char *clients)
{
    char path[128], port[8];
    cr_assert_eq(access(REDIS_SERVER, X_OK), 0, "%s is missing: install the packages for tests (deploy/install-deps.sh test)",
                 REDIS_SERVER);
    unlink(file_in("redis.sock", path));
    if (access(file_in("server.pem", path), F_OK) != 0)
        make_certificates();
    redis_port = redis_port ? redis_port : free_port();
    snprintf(port, sizeof port, "%u", redis_port);
    buf_clear(&redis_address);
    buf_printf(&redis_address, "rediss://localhost:%u", redis_port);
    redis_pid = fork();
    if (redis_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        redis_exec(port, server_file, clients);
    }
    for (int i = 0; i < 1000 && !redis_answers(); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    cr_assert(redis_answers(), "the Redis server does not come up");
}

static inline void redis_run(void)
{
    redis_run_as("server.pem", "no");
}

static inline void redis_signal(int signo)
{
    kill(redis_pid, signo);
}

static inline void redis_end(void)
{
    if (redis_pid > 0) {
        kill(redis_pid, SIGKILL);
        waitpid(redis_pid, NULL, 0);
    }
    redis_pid = 0;
    buf_free(&redis_address);
}

/* --- before and after a test --- */

static inline void server_begin(void)
{
    loop = loop_new();
    network = network_real(loop);
    log_keep();
    directory_make();
}

static inline void server_end(void)
{
    redis_end();
    directory_remove();
    log_forget();
    free(network);
    loop_free(&loop);
}

/* --- stores in it --- */

static inline struct store *redis_open_with(struct network *n, const struct redis_settings *settings)
{
    char *error = NULL;
    struct store *s = store_redis(loop, n, NULL, settings, &error);
    cr_assert_not_null(s, "%s", error);
    return s;
}

static inline struct store *redis_open(struct network *n, const char *user, const char *password, uint64_t deadline_ms)
{
    char path[128];
    return redis_open_with(n, &(struct redis_settings){.address = str_of(file_in("redis.sock", path)), .user = str_of(user),
                                                       .password = str_of(password), .prefix = STR("te*st:"),
                                                       .deadline_ms = deadline_ms});
}

/* Over TLS, its certificate verified by the authority's, as a user that may touch nothing but its own keys, in a database of its own. */
static inline struct store *redis_open_tls(struct network *n, uint64_t deadline_ms)
{
    char authority[128];
    return redis_open_with(n, &(struct redis_settings){.address = buf_view(&redis_address), .ca = str_of(file_in("authority.pem", authority)),
                                                       .user = STR("proxy"), .password = STR("a \"secret\""), .prefix = STR("te*st:"),
                                                       .database = 5, .deadline_ms = deadline_ms});
}

static inline void redis_add_proxy_user(void)
{
    char reply[128];
    command_to_server("*7\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$5\r\nproxy\r\n$2\r\non\r\n$11\r\n>a \"secret\"\r\n"
                      "$9\r\n~te\\*st:*\r\n$5\r\n+@all\r\n", reply, sizeof reply);
    cr_assert_str_eq(reply, "+OK\r\n");
}

#endif
