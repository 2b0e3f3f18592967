/* The uplink against a real CoAP/DTLS server, both on one loop. */
#include "server.h"

#include "vigia/uplink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STORE       0x9f3c1b22a0d47e15ULL
#define PATIENCE_MS 20000

/* An uplink with a feed that has its rows in an array. */
struct rig {
    struct vg_loop *loop;
    struct vg_uplink_net *net;
    struct vg_uplink *uplink;
    struct vg_uplink_options options;
    vg_timer_id timer;
    struct vg_uplink_row rows[16]; /* of the urgent lane */
    size_t row_count;
    bool asked[VG_UPLINK_LANES];
    struct vg_uplink_outcome outcomes[16];
    size_t outcome_count;
    size_t told[VG_UPLINK_EV_PARKED + 1];
    int64_t detail[VG_UPLINK_EV_PARKED + 1];
};

static void hand_rows(void *arg)
{
    struct rig *r = arg;
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        if (r->asked[l]) {
            r->asked[l] = false;
            size_t n = l == VG_UPLINK_URGENT ? r->row_count : 0;
            r->row_count -= n;
            vg_uplink_rows(r->uplink, (enum vg_uplink_lane)l, r->rows, n);
        }
    }
}

static void fetch(void *arg, enum vg_uplink_lane lane, size_t max)
{
    struct rig *r = arg;
    assert_true(max >= r->row_count);
    r->asked[lane] = true;
    vg_loop_timer_in_ms(r->loop, r->timer, 0);
}

static void settle(void *arg, enum vg_uplink_lane lane, const struct vg_uplink_outcome *outcomes,
                   size_t count)
{
    struct rig *r = arg;
    assert_int_equal(lane, VG_UPLINK_URGENT);
    for (size_t i = 0; i < count; i++) {
        r->outcomes[r->outcome_count++] = outcomes[i];
    }
}

static void event(void *arg, enum vg_uplink_event what, size_t collector, int64_t detail)
{
    struct rig *r = arg;
    (void)collector;
    r->told[what]++;
    r->detail[what] = detail;
}

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(vg_loop_new(vg_clock_system(), 16, 16, &r->loop), VG_OK);
    assert_int_equal(vg_loop_timer(r->loop, hand_rows, r, &r->timer), VG_OK);
    assert_int_equal(vg_uplink_net_new(r->loop, 1, &r->net, NULL), VG_OK);
    vg_uplink_options_init(&r->options);
    assert_true(vg_str_copy("pi-42", r->options.identity, sizeof r->options.identity));
    memcpy(r->options.psk, SERVER_KEY, strlen(SERVER_KEY));
    r->options.psk_len = strlen(SERVER_KEY);
    r->options.batch_rows = 16;
    r->options.backoff_min_ms = 50;
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    vg_uplink_close(r->uplink);
    vg_uplink_net_free(r->net);
    vg_loop_free(r->loop);
    free(r);
    return 0;
}

static void use_collector(struct rig *r, const char *host, uint16_t port)
{
    struct vg_endpoint *e = &r->options.collectors[r->options.collector_count++];
    assert_true(vg_str_copy(host, e->host, sizeof e->host));
    e->port = port;
}

static void begin(struct rig *r)
{
    struct vg_uplink_feed feed = {.fetch = fetch, .settle = settle, .event = event, .arg = r};
    struct vg_error err;
    assert_int_equal(vg_uplink_open(r->net, &r->options, &feed, &r->uplink, &err), VG_OK);
    vg_uplink_start(r->uplink);
}

static void add_rows(struct rig *r, uint64_t seq, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct vg_uplink_row *row = &r->rows[r->row_count++];
        memset(row, 0, sizeof *row);
        assert_true(vg_str_copy("42959", row->reading.sensor, sizeof row->reading.sensor));
        row->reading.store = STORE;
        row->reading.seq = seq + i;
        row->reading.lane = VG_LANE_URGENT;
        row->reading.has = VG_HAS_SMOKE;
        row->reading.smoke = true;
        row->reading.time_ms = 1793194820000 + (int64_t)i;
    }
}

/* Turns the loop until `done` says so; fails after PATIENCE_MS. */
static void turn_until(struct rig *r, bool (*done)(struct rig *r, struct server *s),
                       struct server *s)
{
    const struct vg_clock *clock = vg_clock_system();
    struct vg_mono end = vg_mono_add_ms(vg_now_mono(clock), PATIENCE_MS);
    while (!done(r, s)) {
        assert_true(vg_now_mono(clock).ns < end.ns);
        assert_int_equal(vg_loop_turn(r->loop, 100), VG_OK);
    }
}

static bool three_settled(struct rig *r, struct server *s)
{
    (void)s;
    return r->outcome_count >= 3;
}

static bool lost_once(struct rig *r, struct server *s)
{
    (void)s;
    return r->told[VG_UPLINK_EV_LOST] >= 1;
}

static bool up(struct rig *r, struct server *s)
{
    (void)s;
    return vg_uplink_stats(r->uplink)->up;
}

static void readings_arrive_whole_under_their_identity(void **state)
{
    struct rig *r = *state;
    struct server *s = server_new(r->loop, 0);
    use_collector(r, "127.0.0.1", server_port(s));
    add_rows(r, 1812, 3);
    begin(r);
    turn_until(r, three_settled, s);
    const struct server_request *q = server_request(s, 0);
    assert_string_equal(q->query, "store=9f3c1b22a0d47e15&lane=u&seq=1812");
    assert_string_equal(q->identity, "pi-42");
    assert_int_equal(q->content_format, VG_FORMAT_SENML_CBOR);
    assert_int_equal(q->decoded, VG_OK);
    assert_int_equal(q->readings, 3);
    assert_string_equal(q->first.sensor, "42959");
    assert_true(q->first.smoke);
    assert_int_equal(q->first.time_ms, 1793194820000);
    assert_int_equal(r->outcomes[2].seq, 1814);
    assert_int_equal(r->outcomes[2].fate, VG_UPLINK_DONE);
    server_free(s);
}

static void a_separate_response_is_waited_for(void **state)
{
    struct rig *r = *state;
    struct server *s = server_new(r->loop, 0);
    use_collector(r, "127.0.0.1", server_port(s));
    const struct server_answer late = {.max_age = -1, .delay_ms = 600};
    server_script(s, &late, 1);
    add_rows(r, 1, 3);
    begin(r);
    turn_until(r, three_settled, s);
    assert_int_equal(server_count(s),
                     1); /* the empty acknowledgement stopped the retransmissions */
    server_free(s);
}

static void a_refusal_list_is_read_from_the_answer(void **state)
{
    struct rig *r = *state;
    struct server *s = server_new(r->loop, 0);
    use_collector(r, "127.0.0.1", server_port(s));
    const struct server_answer refusal = {.code = VG_COAP_UNPROCESSABLE,
                                          .max_age = -1,
                                          .refusals = {{1, VG_COAP_UNPROCESSABLE}},
                                          .refusal_count = 1};
    server_script(s, &refusal, 1);
    add_rows(r, 1, 3);
    begin(r);
    turn_until(r, three_settled, s);
    assert_int_equal(r->outcomes[0].fate, VG_UPLINK_QUARANTINED);
    assert_int_equal(r->outcomes[0].seq, 2);
    assert_string_equal(server_request(s, 1)->query, "store=9f3c1b22a0d47e15&lane=u&seq=1");
    assert_string_equal(server_request(s, 2)->query, "store=9f3c1b22a0d47e15&lane=u&seq=3");
    server_free(s);
}

static void max_age_is_read_from_the_answer(void **state)
{
    struct rig *r = *state;
    struct server *s = server_new(r->loop, 0);
    use_collector(r, "127.0.0.1", server_port(s));
    const struct server_answer busy = {.code = VG_COAP_UNAVAILABLE, .max_age = 1};
    server_script(s, &busy, 1);
    add_rows(r, 1, 3);
    begin(r);
    turn_until(r, three_settled, s);
    assert_int_equal(r->detail[VG_UPLINK_EV_WAIT], 1000);
    assert_int_equal(server_count(s), 2);
    assert_int_equal(server_sessions(s), 1);
    server_free(s);
}

static void a_format_that_is_refused_becomes_json(void **state)
{
    struct rig *r = *state;
    struct server *s = server_new(r->loop, 0);
    use_collector(r, "127.0.0.1", server_port(s));
    const struct server_answer refusal = {.code = VG_COAP_UNSUPPORTED_FORMAT, .max_age = -1};
    server_script(s, &refusal, 1);
    add_rows(r, 1, 3);
    begin(r);
    turn_until(r, three_settled, s);
    assert_int_equal(server_request(s, 1)->content_format, VG_FORMAT_SENML_JSON);
    assert_int_equal(server_request(s, 1)->readings, 3);
    server_free(s);
}

static void a_wrong_key_is_refused_and_nothing_is_sent(void **state)
{
    struct rig *r = *state;
    struct server *s = server_new(r->loop, 0);
    use_collector(r, "127.0.0.1", server_port(s));
    r->options.psk[0] ^= 1;
    add_rows(r, 1, 3);
    begin(r);
    turn_until(r, lost_once, s);
    assert_int_equal(r->detail[VG_UPLINK_EV_LOST], 2); /* refused */
    assert_string_equal(vg_uplink_lost_name(r->detail[VG_UPLINK_EV_LOST]), "refused");
    assert_int_equal(r->told[VG_UPLINK_EV_BACKOFF], 1);
    assert_int_equal(server_count(s), 0);
    server_free(s);
}

static void a_collector_that_is_not_there_is_passed_over(void **state)
{
    struct rig *r = *state;
    struct server *gone = server_new(r->loop, 0);
    struct server *s = server_new(r->loop, 0);
    use_collector(r, "127.0.0.1", server_port(gone));
    use_collector(r, "localhost", server_port(s));
    server_free(gone);
    add_rows(r, 1, 3);
    begin(r);
    turn_until(r, three_settled, s);
    assert_int_equal(vg_uplink_stats(r->uplink)->collector, 1);
    server_free(s);
}

static void a_name_without_address_is_told_and_tried_again(void **state)
{
    struct rig *r = *state;
    use_collector(r, "no..such..name", 5684);
    begin(r);
    turn_until(r, lost_once, NULL);
    assert_string_equal(vg_uplink_lost_name(r->detail[VG_UPLINK_EV_LOST]), "unresolved");
    assert_int_equal(r->told[VG_UPLINK_EV_BACKOFF], 1);
}

static bool two_sessions(struct rig *r, struct server *s)
{
    (void)r;
    return server_sessions(s) == 1 && r->outcome_count >= 3;
}

static void
a_collector_that_restarts_gets_a_new_handshake_and_the_rows_under_their_old_numbers(void **state)
{
    struct rig *r = *state;
    struct server *s = server_new(r->loop, 0);
    uint16_t port = server_port(s);
    use_collector(r, "127.0.0.1", port);
    begin(r);
    turn_until(r, up, s);
    server_free(s);
    turn_until(r, lost_once, s);
    add_rows(r, 7, 3);
    vg_uplink_notify(r->uplink, VG_UPLINK_URGENT);
    s = server_new(r->loop, port);
    turn_until(r, two_sessions, s);
    assert_string_equal(server_request(s, 0)->query, "store=9f3c1b22a0d47e15&lane=u&seq=7");
    server_free(s);
}

static void options_out_of_range_are_refused(void **state)
{
    struct rig *r = *state;
    struct vg_uplink_feed feed = {.fetch = fetch, .settle = settle, .arg = r};
    struct vg_error err;
    use_collector(r, "127.0.0.1", 5684);
    struct vg_uplink_options good = r->options;
    struct vg_uplink *u = NULL;
    struct vg_uplink_options bad = good;
    bad.psk_len = 15;
    assert_int_equal(vg_uplink_open(r->net, &bad, &feed, &u, &err), VG_E_RANGE);
    assert_non_null(strstr(err.text, "15 bytes, accepted: 16 to 32"));
    bad = good;
    bad.collector_count = 0;
    assert_int_equal(vg_uplink_open(r->net, &bad, &feed, &u, &err), VG_E_RANGE);
    bad = good;
    bad.identity[0] = ' ';
    assert_int_equal(vg_uplink_open(r->net, &bad, &feed, &u, &err), VG_E_RANGE);
    bad = good;
    bad.batch_rows = VG_UPLINK_BATCH_MAX + 1;
    assert_int_equal(vg_uplink_open(r->net, &bad, &feed, &u, &err), VG_E_RANGE);
    bad = good;
    bad.backoff_max_ms = bad.backoff_min_ms - 1;
    assert_int_equal(vg_uplink_open(r->net, &bad, &feed, &u, &err), VG_E_RANGE);
    assert_int_equal(vg_uplink_open(r->net, &good, &feed, &r->uplink, &err), VG_OK);
    assert_int_equal(vg_uplink_open(r->net, &good, &feed, &u, &err), VG_E_FULL);
    assert_null(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readings_arrive_whole_under_their_identity, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_separate_response_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_list_is_read_from_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(max_age_is_read_from_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_format_that_is_refused_becomes_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_key_is_refused_and_nothing_is_sent, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_collector_that_is_not_there_is_passed_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_name_without_address_is_told_and_tried_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_collector_that_restarts_gets_a_new_handshake_and_the_rows_under_their_old_numbers,
            set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_out_of_range_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
