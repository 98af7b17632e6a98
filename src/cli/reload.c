/*
 * reload.c - HUP: policies, certificates and the store's files are read again; what has errors is logged, and what runs stays. The journal is
 * reopened. The configuration is read too, but only to say what in it needs a restart.
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "postern/ops/config.h"
#include "postern/store/open.h"
#include "running.h"

void running_log_diags(enum log_level level, const char *event, const struct diags *diags)
{
    for (size_t i = 0; i < diags->count; i++) {
        struct log_line line;
        const struct diag *d = &diags->list[i];
        struct str text = str_of(d->line > 0 ? d->text : d->message); /* the text's first line has the place */
        log_begin(&line, level, event);
        log_str(&line, "note", str_sub(text, 0, str_find(text, '\n', 0)));
        log_end(&line);
    }
}

bool running_set_certificates(struct running *r, char **error)
{
    *error = NULL;
    if (r->settings.certificate_count == 0)
        return true;
    struct tls_context *fresh = load_certificates(&r->settings, loop_wall(r->loop), r->tls, error);
    if (!fresh)
        return false;
    tls_context_free(&r->tls);
    r->tls = fresh;
    proxy_set_tls(r->proxy, fresh);
    return true;
}

/* What was changed in the configuration does not take effect: nobody shall wait for it in vain. */
static void compare_configuration(struct running *r)
{
    struct settings now;
    struct diags diags = {0};
    struct buf names = {0};
    struct rlimit limit = {0};
    if (!config_load(r->config, &source_files, &now, &diags)) {
        running_log_diags(LOG_ERROR_, "configuration-error", &diags);
    } else {
        now.max_sessions = running_sessions(&now, &limit);
        if (config_differences(&r->settings, &now, &names))
            log_note(LOG_WARN_, "restart-needed", "changed in the configuration, and taking effect at the next start: %.*s", STR_ARG(buf_view(&names)));
    }
    buf_free(&names);
    settings_clear(&now);
    diag_clear(&diags);
}

/* The files behind settings that are not the policy's; each that is no good leaves what runs. */
static void renew_files(struct running *r)
{
    char *certificates = NULL, *store = NULL;
    if (!running_set_certificates(r, &certificates))
        log_note(LOG_ERROR_, "certificate-error", "%s; those that run stay", certificates);
    if (!store_renew(r->store, &r->settings, &store))
        log_note(LOG_ERROR_, "store-error", "%s; what was read before is used on", store);
    free(certificates);
    free(store);
    proxy_renew_tls(r->proxy);
}

/* What came of reading a policy again. */
static void tell(const char *name, const char *what, bool good, const struct policy *fresh, const struct diags *diags)
{
    running_log_diags(good ? LOG_WARN_ : LOG_ERROR_, good ? "policy-warning" : "policy-error", diags);
    if (!good)
        log_note(LOG_ERROR_, "reload-failed", "the %s has errors; the one that runs stays", what);
    if (!fresh)
        return;
    struct log_line line;
    log_begin(&line, LOG_INFO_, "reloaded");
    log_cstr(&line, name, policy_path(fresh));
    log_cstr(&line, "digest", policy_digest(fresh));
    log_end(&line);
}

static void renew_policy(struct running *r)
{
    struct diags diags = {0};
    struct policy *fresh = load_policy(&r->settings, &diags);
    if (fresh) {
        proxy_set_policy(r->proxy, fresh);
        policy_unref(&r->policy);
        r->policy = fresh;
    }
    tell("policy", "policy", fresh != NULL, fresh, &diags);
    diag_clear(&diags);
}

static void renew_shadow(struct running *r)
{
    struct diags diags = {0};
    struct policy *fresh;
    bool good = load_shadow(&r->settings, &fresh, &diags);
    if (fresh) {
        proxy_set_shadow(r->proxy, fresh);
        policy_unref(&r->shadow);
        r->shadow = fresh;
    }
    tell("shadow", "shadow policy", good, fresh, &diags);
    diag_clear(&diags);
}

void running_reload(struct running *r)
{
    if (r->journal)
        journal_reopen(r->journal);
    renew_files(r);
    compare_configuration(r);
    renew_policy(r);
    renew_shadow(r);
    list_health_watch(r->health, r->policy, r->shadow);
}
