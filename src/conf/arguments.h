/* Matches a statement's words with its directive's arguments. Used by directive.c only. */
#ifndef HOLDFAST_CONF_ARGUMENTS_H
#define HOLDFAST_CONF_ARGUMENTS_H

#include "conf/directive.h"

/* Fills statement->values and ->counts from statement->node and ->directive. `values` has room for
 * CONF_ARGUMENTS_MAX and holds them afterwards. Reports what does not match; the rest is then undefined. */
void arguments_match(struct conf_statement *statement, struct conf_value *values);

#endif
