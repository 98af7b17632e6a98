/* Views: what one session asked for, and sees. */
#include "asked.h"

Test(view, a_a_freed_view_leaves_its_answer_to_the_cache)
{
    open_resolver(1, usual);
    cr_assert_eq(ask_once("x.example"), -1); /* its view is gone by now */
    cr_assert_eq(resolver_in_flight(r), 1);
    answer(0, 60);
    cr_assert_eq(resolver_in_flight(r), 0);
    cr_assert_eq(ask_once("x.example"), DNS_OK);
    cr_assert_eq(asked_count, 1);
    close_resolver();
}

Test(view, b_budget_and_bad_names)
{
    unsigned budget = 2;
    open_resolver(1, usual);
    struct dns_view *v = dns_view_new(r, NULL, &budget);
    struct dns_view *other = dns_view_new(r, NULL, &budget);
    cr_assert_eq(status_of(dns_view_get(v, STR("a..b"), DNS_A)), DNS_BADNAME);
    cr_assert_eq(status_of(dns_view_get(v, STR(""), DNS_A)), DNS_BADNAME);
    cr_assert_eq(budget, 2);
    cr_assert_null(dns_view_get(v, STR("a.example"), DNS_A));
    cr_assert_null(dns_view_get(v, STR("a.example"), DNS_A));
    cr_assert_eq(budget, 1);
    cr_assert_null(dns_view_get(other, STR("b.example"), DNS_A));
    cr_assert_eq(budget, 0);
    cr_assert_eq(status_of(dns_view_get(v, STR("c.example"), DNS_A)), DNS_LIMIT);
    cr_assert_eq(dns_view_waiting(v), 1);
    answer(0, 60);
    cr_assert_eq(status_of(dns_view_get(v, STR("a.example"), DNS_A)), DNS_OK, "what was asked is still answered");
    dns_view_free(&v);
    dns_view_free(&other);
    close_resolver();
}

Test(view, c_owners_change_and_may_be_missing)
{
    struct waiter first = {.task.run = woken}, second = {.task.run = woken};
    open_resolver(1, usual);
    struct dns_view *v = dns_view_new(r, &first.task, NULL);
    dns_view_get(v, STR("a.example"), DNS_A);
    dns_view_get(v, STR("b.example"), DNS_A);
    dns_view_get(v, STR("c.example"), DNS_A);
    dns_view_set_owner(v, &second.task);
    answer(0, 60);
    loop_settle(l);
    dns_view_set_owner(v, NULL);
    answer(1, 60);
    loop_settle(l);
    cr_assert_eq(first.woken, 0);
    cr_assert_eq(second.woken, 1);
    cr_assert_eq(dns_view_waiting(v), 1);
    dns_view_free(&v);
    close_resolver(); /* with a question on its way */
}

/* Another session's answer for the same question, while this one's is pinned, does not change what it sees. */
Test(view, d_pinned)
{
    open_resolver(1, usual);
    struct dns_view *v = dns_view_new(r, NULL, NULL);
    dns_view_get(v, STR("x.example"), DNS_A);
    answer(0, 1);
    const struct dns_answer *a = dns_view_get(v, STR("x.example"), DNS_A);
    loop_advance_to(l, loop_now(l) + 2000);
    cr_assert_eq(ask_once("x.example"), -1);
    answer_rcode(1, 3, false, 60);
    cr_assert_eq(ask_once("x.example"), DNS_NXDOMAIN);
    cr_assert_eq(dns_view_get(v, STR("x.example"), DNS_A), a);
    cr_assert_eq(status_of(a), DNS_OK);
    dns_view_free(&v);
    close_resolver();
}
