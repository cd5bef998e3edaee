/* Answers of name servers (RFC 1035 section 4): bytes in, records out. No I/O, no allocation, no clock.
 *
 *     header (12 bytes): id, flags, number of questions, answers, authorities, additionals; 16 bits each
 *     question:          name, type, class
 *     answer:            name, type, class, TTL (32 bits), length (16 bits), data; and so on
 *
 * Numbers are big-endian. A name is a row of labels (a length of 1 to 63 and as many bytes), ended by a length
 * of 0 or by a pointer (two bytes, the upper two bits set) to an earlier place in the message where it goes
 * on. Pointers that do not lead backwards are refused, so a name always ends.
 *
 * Only the question and the answers are read. Strict: exactly the question that was asked, names of visible
 * ASCII bytes without '.' and '\' inside a label, data of the length that its type has. */
#ifndef HOLDFAST_PROTO_DNS_MESSAGE_H
#define HOLDFAST_PROTO_DNS_MESSAGE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdint.h>

/* RFC 1035 section 3.2.2, RFC 3596 section 2.1, RFC 2782. */
enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_SRV = 33 };

#define DNS_CLASS_IN 1

/* RFC 1035 section 4.1.1. */
enum dns_rcode {
    DNS_NO_ERROR = 0,
    DNS_FORMAT_ERROR = 1,
    DNS_SERVER_FAILURE = 2,
    DNS_NO_SUCH_NAME = 3,
    DNS_NOT_IMPLEMENTED = 4,
    DNS_REFUSED = 5
};

#define DNS_NAME_CAPACITY 256 /* of a name as text, "a.example", with its NUL */
#define DNS_RECORDS_MAX 64    /* of one answer; more are left out */
#define DNS_CHAIN_MAX 8       /* aliases (CNAME) one after the other */

struct dns_record {
    uint8_t address[16];             /* A (the first 4 bytes), AAAA; in network order */
    uint16_t priority, weight, port; /* SRV, in host order */
    char target[DNS_NAME_CAPACITY];  /* SRV; empty where it is "." (RFC 2782: there is no such service) */
};

struct dns_answer {
    unsigned rcode; /* enum dns_rcode, or another number below 16 */
    int is_cut;     /* the message was cut short (TC): ask again by TCP; there are no records then */
    /* The least of the records and of the aliases that led to them, in seconds, at most 2^31 - 1; a TTL with
     * its upper bit set counts as 0 (RFC 2181 section 8). 0 without records. */
    uint32_t ttl_s;
    uint32_t count;
    struct dns_record records[DNS_RECORDS_MAX]; /* only the first `count` are set */
};

/* Reads the answer to a question of class IN. `name` as text, with or without the final dot, in any case;
 * `type`: DNS_A, DNS_AAAA or DNS_SRV. Aliases are followed within the answer. 0, and *answer is filled in:
 * look at rcode, is_cut and count, in this order. ERR_SYNTAX: malformed, or too many aliases; ERR_INVALID:
 * well-formed, but no answer to this question. Safe for any bytes. */
WARN_UNUSED int dns_answer_parse(const uint8_t *bytes, uint32_t length, struct slice name, enum dns_type type,
                                 struct dns_answer *answer);

#endif
