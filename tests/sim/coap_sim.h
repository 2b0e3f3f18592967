/* The part of libcoap that the programs use, over the simulated network: confirmable messages with
 * retransmission (RFC 7252 §4.2), answers on the acknowledgement or by themselves, and sessions that
 * begin with a handshake of three flights each way, can die on either side, and survive a change of
 * address when both ends use a Connection ID.
 *
 *   coap_pdu.c        messages and options
 *   coap_context.c    contexts, datagrams between them, the turn of their loop
 *   coap_session.c    sessions
 *   coap_handshake.c  their handshake, and what a record that arrives is taken for
 *   coap_message.c    requests, answers, acknowledgements, retransmission */
#ifndef VIGIA_SIM_COAP_H
#define VIGIA_SIM_COAP_H

#include "net.h"

#include <coap3/coap.h>

#define SIM_OPTIONS_MAX   10
#define SIM_OPTION_BYTES  64
#define SIM_DATA_MAX      1400
#define SIM_RESOURCES_MAX 4
#define SIM_PSK_MAX       64
#define SIM_STEPS         3 /* of a handshake, each way */

struct sim_option {
    coap_option_num_t number;
    uint16_t len;
    uint8_t value[SIM_OPTION_BYTES];
};

struct coap_pdu_t {
    coap_pdu_type_t type;
    coap_pdu_code_t code;
    coap_mid_t mid;
    uint8_t token[8];
    size_t token_len;
    struct sim_option options[SIM_OPTIONS_MAX];
    size_t option_count;
    size_t len;
    uint8_t data[SIM_DATA_MAX];
};

/* Two ends of one handshake; never freed, so a late datagram finds it. */
struct sim_conn {
    uint64_t id;
    struct sim_path *path;
    uint16_t port;
    bool cid;
    coap_session_t *client, *server;
};

enum sim_kind { SIM_HELLO, SIM_REPLY, SIM_ALERT, SIM_DATA };

struct sim_datagram {
    struct sim_conn *conn;
    bool to_server;
    enum sim_kind kind;
    unsigned step, address;
    uint64_t number; /* of the record, for the protection against replay */
    char identity[SIM_PSK_MAX];
    uint8_t key[SIM_PSK_MAX];
    size_t key_len;
    coap_pdu_t pdu;
};

struct sim_unacked {
    struct sim_unacked *next;
    coap_pdu_t *pdu;
    int64_t due, wait;
    unsigned repeats;
};

struct coap_session_t {
    coap_session_t *next;
    coap_context_t *ctx;
    struct sim_conn *conn;
    bool server, closed, freed;
    coap_session_state_t state;
    unsigned references, address;
    void *app;
    uint16_t next_mid;
    int64_t ack_timeout;
    unsigned max_retransmit;
    struct sim_unacked *unacked;
    coap_mid_t
        last_con; /* the last confirmable answer that came: a repeated one is only acknowledged */
    uint64_t sent, seen_top, seen_mask;
    unsigned step; /* of the handshake */
    int64_t step_due, step_wait, since;
    char identity[SIM_PSK_MAX];
    uint8_t key[SIM_PSK_MAX];
    coap_bin_const_t identity_bin, key_bin;
    char name[40];
};

struct coap_resource_t {
    char path[32];
    coap_method_handler_t handler;
    void *user;
};

struct sim_inbox {
    struct sim_inbox *next;
    struct sim_datagram *datagram;
};

struct coap_context_t {
    coap_context_t *next;
    struct sim_proc *proc;
    struct sim_path *path;
    bool dead, ready;
    int fd;
    void *app;
    uint16_t port; /* listening; 0: a client */
    coap_event_handler_t on_event;
    coap_nack_handler_t on_nack;
    coap_response_handler_t on_response;
    coap_dtls_spsk_t psk;
    coap_resource_t *resources[SIM_RESOURCES_MAX];
    size_t resource_count;
    coap_session_t *sessions;
    struct sim_inbox *first, *last;
    int64_t alarm; /* the next one asked for */
};

/* Whether a record that came before is thrown away, as DTLS does (RFC 6347 §4.1.2.6); off is worse. */
extern bool sim_replay_protection;
/* Turns an answer on its way to the device into another code; for defects that must be found. */
extern unsigned (*sim_answer_twist)(unsigned code);

struct sim_coap_count {
    uint64_t requests, retransmissions, handshakes, established, rebound, replayed;
};
extern struct sim_coap_count sim_coap_counts;

/* coap_context.c */
void sim_session_transmit(coap_session_t *s, enum sim_kind kind, unsigned step,
                          const coap_pdu_t *pdu);
void sim_context_alarm(coap_context_t *ctx, int64_t at);
/* coap_session.c */
coap_session_t *sim_session_new(coap_context_t *ctx, struct sim_conn *conn, bool server);
void sim_session_end(coap_session_t *s, bool tell_peer);
void sim_session_remove(coap_session_t *s);
/* False while somebody holds it, or it goes on. */
bool sim_session_free_if_over(coap_session_t *s);
/* coap_handshake.c */
void sim_handshake_begin(coap_session_t *s);
int64_t sim_handshake_due(const coap_session_t *s); /* SIM_NEVER: it is over */
void sim_session_arrived(coap_context_t *ctx, const struct sim_datagram *d);
/* One thing that is due; false: nothing is. */
bool sim_session_due(coap_session_t *s);
/* coap_message.c */
void sim_message_arrived(coap_session_t *s, const coap_pdu_t *pdu);
/* Repeats what is due; false when nothing was. */
bool sim_message_repeat(coap_session_t *s);
int64_t sim_message_due(const coap_session_t *s);
void sim_message_forget(coap_session_t *s);

#endif
