/* A proxy before the client's mock broker, in a thread: every broker that Metadata names is the proxy
 * itself, or none is named, as a cluster does whose brokers are back but still fenced. */
#ifndef VIGIA_TEST_KAFKA_PROXY_H
#define VIGIA_TEST_KAFKA_PROXY_H

#include <stdbool.h>

struct proxy;

/* To 127.0.0.1:`port`. */
struct proxy *proxy_start(int port);
int proxy_port(const struct proxy *p);
/* From now on Metadata names no broker, or names the proxy again. */
void proxy_name_no_broker(struct proxy *p, bool none);
/* How many answers have named none. */
int proxy_named_none(struct proxy *p);
/* Ends all connections. */
void proxy_hang_up(struct proxy *p);
void proxy_stop(struct proxy *p);

#endif
