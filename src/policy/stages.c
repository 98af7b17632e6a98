/*
 * stages.c - which facts the rules of a stage may read, and which rules are never reached.
 */
#include "loader.h"

bool check_stage_fact(struct loader *l, const struct fact_info *info, enum stage stage, struct span where, const struct condition *via)
{
    if (fact_readable(info, stage))
        return false;
    bool gone = info->stage < stage;
    const char *hint = gone ? "decide in stage rcpt, or set a 'class' there and test it here"
                            : arena_cstr(&l->scratch, arena_printf(&l->scratch, "move the rule to stage %s or later", stage_names[info->stage]));
    if (gone && via)
        COMPLAIN(l, FACT_OF_RECIPIENT_IN, where, hint, STR_ARG(via->name), STR_ARG(info->name));
    else if (gone)
        COMPLAIN(l, FACT_OF_RECIPIENT, where, hint, STR_ARG(info->name));
    else if (via)
        COMPLAIN(l, FACT_EARLY_IN, where, hint, STR_ARG(via->name), STR_ARG(info->name), stage_names[info->stage]);
    else
        COMPLAIN(l, FACT_EARLY, where, hint, STR_ARG(info->name), stage_names[info->stage]);
    return true;
}

/* True: something was complained of. Inside a condition by name the first complaint is enough, and stands where the rule names it. */
static bool check(struct loader *l, const struct expr *e, enum stage stage, const struct condition *via, struct span where)
{
    if (e->kind == EXPR_AND || e->kind == EXPR_OR) {
        bool left = check(l, e->left, stage, via, where);
        return left && via ? true : check(l, e->right, stage, via, where) || left;
    }
    if (e->kind == EXPR_NOT)
        return check(l, e->left, stage, via, where);
    struct condition *c = e->kind == EXPR_ALONE ? loader_find(l, "condition", e->name) : NULL;
    if (c)
        return check(l, c->expr, stage, via ? via : c, via ? where : e->span);
    int fact = schema_find(l->policy->schema, e->name);
    return check_stage_fact(l, schema_fact(l->policy->schema, fact), stage, via ? where : e->span, via);
}

void check_stage(struct loader *l, const struct expr *e, enum stage stage)
{
    check(l, e, stage, NULL, (struct span){0});
}

/* Does the walk always end with this rule? greylist may let pass. */
static bool always_ends(const struct parsed_rule *r)
{
    if (r->when || r->rule.monitor || !r->rule.effect_count)
        return false;
    enum effect_kind last = r->rule.effects[r->rule.effect_count - 1].kind;
    return effect_ends[last] && last != EFFECT_GREYLIST;
}

void check_reached(struct loader *l)
{
    const struct parsed_rule *ended_by[STAGE_COUNT] = {0};
    for (const struct parsed_rule *r = l->rules; r; r = r->next) {
        const struct parsed_rule *by = ended_by[r->stage];
        if (by)
            COMPLAIN(l, UNREACHABLE, r->name_span, "rules are read in order: move it up, or give the other one a condition",
                     STR_ARG(r->rule.name), STR_ARG(by->rule.name));
        else if (always_ends(r))
            ended_by[r->stage] = r;
    }
}
