/* The tables of directives, and what their callbacks work on. Each file of this folder that has directives has a table
 * of them at its end; directives.c binds the tables together. */
#ifndef HOLDFAST_MAIN_DIRECTIVES_H
#define HOLDFAST_MAIN_DIRECTIVES_H

#include "conf/directive.h"
#include "core/settings.h"
#include "http/config.h"
#include "http/routes.h"
#include "l4/config.h"
#include "main/lookup.h"

#define DAY_MS 86400000u

enum directive_context {
    CONTEXT_TOP,
    CONTEXT_SITE,
    CONTEXT_ROUTE,
    CONTEXT_MATCH,
    CONTEXT_LISTEN,
    CONTEXT_POOL,
    CONTEXT_CHECK,
    CONTEXT_PROXY,
    CONTEXT_TCP,
};

#define AT_TOP (1u << CONTEXT_TOP)
#define IN_SITE (1u << CONTEXT_SITE)
#define IN_ROUTE (1u << CONTEXT_ROUTE)
#define IN_MATCH (1u << CONTEXT_MATCH)
#define IN_LISTEN (1u << CONTEXT_LISTEN)
#define IN_POOL (1u << CONTEXT_POOL)
#define IN_CHECK (1u << CONTEXT_CHECK)
#define IN_PROXY (1u << CONTEXT_PROXY)
#define IN_TCP (1u << CONTEXT_TCP)
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct build;

/* What the callbacks at the top level, in a site and in a route get. In the storage of the configuration, so that it
 * stays where it is; of no use once the configuration is built. */
struct block_build {
    struct build *build;
    struct http_route *route;
    struct block_build *outer; /* the block around it; NULL: the top level */
    struct block_build *next;  /* in the order of the text */

    struct conf_node node;        /* where the block stands; none: the top level */
    struct conf_node answer_node; /* what answers; none yet */
    /* The highest {match.N} in the block, and where; -1: none. */
    int highest_group;
    struct conf_node group_node;
    size_t group_argument;
    struct conf_node compress_node; /* its `compress` */
    size_t mistakes_before;         /* of the whole configuration, when the block began */
    size_t mistakes_inside;         /* in the blocks of routes in it */
    int has_mistakes;               /* of its own: nothing is to be concluded from what it says */

    size_t header_count, request_header_count, edit_count; /* own ones */
    const struct route_header **header_end, **request_header_end;
    const struct route_edit **edit_end;
};

/* What the callbacks in `match` and `not` get. */
struct match_build {
    struct build *build;
    struct route_test **end; /* where the next one is tied on */
};

/* What the callbacks in `listen` get. */
struct listen_build {
    struct build *build;
    struct listen_build *next;
    struct conf_node node;
    struct conf_address address;
    struct core_listener options; /* only those that a listener can be given */
};

/* What the callbacks in `pool` and `check` get. */
struct pool_build {
    struct build *build;
    struct pool_build *next;
    struct conf_node node; /* none: made for `proxy ADDR` */
    struct upstream_pool pool;
    struct server_build {
        struct server_build *next;
        struct upstream_server server;
    } * first_server, **server_end;
    struct conf_node queue_node,
        slow_start_node; /* where they are said; for rules about several statements */
    size_t mistakes_before;
};

/* The pool, or the address, that a `proxy` names. */
struct pool_target {
    struct build *build;
    struct conf_node node;
    const char *text; /* as written, in the storage */
};

/* What the callbacks in `proxy` get. */
struct proxy_build {
    struct build *build;
    struct proxy_build *next;
    struct pool_target target;
    struct http_proxy *proxy;
};

/* What the callbacks in `tcp` get. */
struct tcp_build {
    struct build *build;
    struct tcp_build *next;
    struct pool_target target;
    struct l4_block *block;
};

/* All that is known while a configuration is built. */
struct build {
    struct block_build top; /* first: what stands at the top level and in blocks gets a block_build */
    struct core_settings *core;
    struct http_config *http;
    struct l4_config *l4;
    struct lookup *lookup;                    /* NULL: the world is not looked at */
    const struct settings_resolved *resolved; /* what was seen then; NULL: never looked */
    struct conf_node *site_nodes;             /* owned; where each site stands */
    size_t address_count;                     /* of all sites */
    unsigned automatic_workers;
    struct block_build *first_block, **block_end; /* all sites and routes */
    struct listen_build *first_listen, **listen_end;
    struct pool_build *first_pool, **pool_end;
    uint32_t upstream_addresses, upstream_names; /* of all pools */
    struct proxy_build *first_proxy, **proxy_end;
    struct tcp_build *first_tcp, **tcp_end;
    struct conf_node listener_nodes[CORE_LISTENERS_MAX]; /* where each is first named */
};

extern const struct conf_grammar directives_grammar;

extern const struct directive_table site_directives;     /* site.c */
extern const struct directive_table listen_directives;   /* listen.c */
extern const struct directive_table limit_directives;    /* limits.c */
extern const struct directive_table log_directives;      /* logs.c */
extern const struct directive_table route_directives;    /* route.c */
extern const struct directive_table match_directives;    /* match.c */
extern const struct directive_table answer_directives;   /* answers.c */
extern const struct directive_table response_directives; /* response.c */
extern const struct directive_table page_directives;     /* pages.c */

extern const struct directive_table pool_directives;  /* pool.c */
extern const struct directive_table check_directives; /* check.c */
extern const struct directive_table proxy_directives; /* proxy.c */
extern const struct directive_table tcp_directives;   /* tcp.c */

/* A new block inside of another one; its route is a new child of that one's. `text` is what is shown of it. NULL: no
 * memory. Of route.c. */
struct block_build *block_new(struct block_build *outer, const struct conf_statement *statement,
                              const char *text);
/* The directive_finish_fn of sites and routes. Of route.c. */
int block_finish(void *child, const struct conf_statement *statement);
/* When all blocks are read: judges them together and gives them what they have from outside. Of route.c. */
WARN_UNUSED int routes_finish(struct build *build, struct diagnostics *diagnostics);
/* When all sites are read: gives their listeners the options. Of listen.c. */
void listen_finish(struct build *build, struct diagnostics *diagnostics);
/* The listener of an address, made if nobody uses it yet: its index, or -1, and it is said why. Of listen.c. */
int listener_of(struct build *build, const struct conf_statement *statement, const struct conf_value *value,
                const struct conf_address *bind, uint8_t class_tag);
/* The number of a log in the configuration's list, and 1, of the path that a value is; 0: it is refused. Of logs.c. */
uint16_t log_of(struct build *build, const struct conf_statement *statement, const struct conf_value *value);

/* Notes that the block answers so. 0, or ERR_EXISTS: it does already, which is reported. Of answers.c. */
WARN_UNUSED int block_take_answer(struct block_build *block, const struct conf_statement *statement,
                                  enum route_answer answer);
/* A network; ERR_SYNTAX if it is none, which is refused. Of match.c. */
WARN_UNUSED int build_take_net(const struct conf_statement *statement, const struct conf_value *value,
                               struct client_net *net);
/* All networks of an argument; those that are none are refused. 0 or ERR_NO_MEMORY. Of match.c. */
WARN_UNUSED int build_take_nets(struct build *build, const struct conf_statement *statement, size_t argument,
                                const struct client_net **nets, size_t *count);

/* Whom a `timeout` is about: the order of its words. */
enum pool_timeout {
    POOL_TIMEOUT_CONNECT,
    POOL_TIMEOUT_FIRST_BYTE,
    POOL_TIMEOUT_BETWEEN,
    POOL_TIMEOUT_WHOLE,
    POOL_TIMEOUT_TUNNEL,
};
#define POOL_TIMEOUT_WORDS WORDS("connect", "first_byte", "between", "whole", "tunnel")
/* A new pool with the defaults. NULL: no memory. Of pool.c. */
struct pool_build *pool_new(struct build *build, const char *name);
/* Adds what an address says, if it is one. 0; ERR_NO_MEMORY; ERR_SYNTAX, and then *problem and *hint as
 * conf_parse_address. Of pool.c. */
WARN_UNUSED int pool_add_server(struct pool_build *pool, const char *text, struct upstream_server **server,
                                const char **problem, const char **hint);
/* When all is read: ties routes to pools, and judges what concerns several statements. Of pool.c and proxy.c. */
WARN_UNUSED int pools_finish(struct build *build, struct diagnostics *diagnostics);
WARN_UNUSED int proxies_finish(struct build *build, struct diagnostics *diagnostics);
WARN_UNUSED int tcps_finish(struct build *build, struct diagnostics *diagnostics);
/* The pool that is meant, made if it is an address that nobody has named yet: 0, *found and its *number, or *found is NULL, and
 * it is said why; ERR_NO_MEMORY. Of proxy.c. */
WARN_UNUSED int pool_of_target(const struct pool_target *target, struct diagnostics *diagnostics,
                               struct pool_build **found, uint32_t *number);

/* Compiles a value as a template and notes its {match.N}. 0 and *compiled, NULL if it was refused; ERR_NO_MEMORY. Of
 * response.c. */
WARN_UNUSED int block_compile_template(struct block_build *block, const struct conf_statement *statement,
                                       const struct conf_value *value, const struct template **compiled);
/* All values of an argument as slices in the storage. 0 or ERR_NO_MEMORY. Of match.c. */
WARN_UNUSED int build_take_words(struct build *build, const struct conf_statement *statement, size_t argument,
                                 const struct slice **words, size_t *count);
/* The patterns of an argument; those that are wrong are refused. 0 or ERR_NO_MEMORY. Of match.c. */
WARN_UNUSED int build_take_patterns(struct build *build, const struct conf_statement *statement,
                                    size_t argument, const struct path_pattern **patterns, size_t *count);

/* A number's place in a struct, for directives that only set one. */
#define NUMBER_OF(statement, argument) (conf_value(statement, argument)->number)

#endif
