/* connections: what is open right now. */
#include "ctl/ask.h"
#include "ctl/command.h"

#include <stdio.h>

/* With the other connection of a pair, as "> 127.0.0.1:5432". */
static void print_connection(json_t *item)
{
    char partner[80];

    snprintf(partner, sizeof partner, "> %s %s", ask_text(json_object_get(item, "partner"), "address"),
             ask_text(item, "request"));
    printf("%4lld %-8s %-7s %-28s %-24s %12lld %12lld %9.1f  %s\n", (long long)ask_number(item, "slot"),
           ask_text(item, "kind"), ask_text(item, "state"), ask_text(item, "client"),
           ask_text(item, "listener"), (long long)ask_number(item, "received"),
           (long long)ask_number(item, "sent"), json_number_value(json_object_get(item, "age_s")),
           json_is_null(json_object_get(item, "partner")) ? ask_text(item, "request") : partner);
}

static void print_connections(json_t *result)
{
    json_t *item;
    size_t i;

    printf("%4s %-8s %-7s %-28s %-24s %12s %12s %9s  %s\n", "slot", "kind", "state", "client", "listener",
           "received", "sent", "age s", "request");
    json_array_foreach(json_object_get(result, "connections"), i, item) print_connection(item);
    json_array_foreach(json_object_get(result, "unreadable"), i, item)
        printf("slot %lld of generation %lld is of another version and cannot be listed\n",
               (long long)ask_number(item, "slot"), (long long)ask_number(item, "generation"));
}

int ctl_connections(int count, char **arguments)
{
    struct ask_options options;
    json_t *answer, *result;
    int exit_code = ask_read_options(count, arguments, &options, CTL_CONNECTIONS_USAGE);

    if (exit_code)
        return exit_code;
    answer = ask(&options, "connections", &exit_code);
    if (!answer)
        return exit_code;
    result = ask_result(answer);
    if (!result)
        exit_code = CONTROL_EXIT_REFUSED;
    else if (options.json)
        exit_code = ask_print(result);
    else
        print_connections(result);
    json_decref(answer);
    return exit_code;
}
