/* Reads configuration files into a builder.
 *
 * Statements become nodes in the order of the text; `include` is the one directive that is obeyed here,
 * anywhere a statement may stand:
 *
 *   include GLOB...   reads the files that match, in the order of their names, as if they stood here.
 * Relative to the file it stands in. A name without wildcards must exist. What a file opens it must close.
 *
 * Limits: includes 10 deep, 1000 files, 4 MiB a file, blocks 16 deep, 256 arguments a statement, 16 MiB in
 * all. */
#ifndef HOLDFAST_CONF_PARSE_H
#define HOLDFAST_CONF_PARSE_H

#include "base/bytes.h"
#include "base/err.h"
#include "conf/builder.h"
#include "conf/diagnostic.h"

#define CONF_INCLUDE_DEPTH_MAX 10
#define CONF_FILES_MAX 1000
#define CONF_FILE_SIZE_MAX (4u << 20)

struct conf_parse_options {
    const char *const *environment; /* borrowed, like environ; NULL: nothing is set */
    int refuse_includes;            /* touches no file at all */
};

/* Both report every mistake to `diagnostics` and go on. 0: the structure stands (there may be diagnostics all
 * the same), so that it is worth checking what it says; ERR_SYNTAX: it does not (a block is not closed, a
 * file cannot be read), ERR_LIMIT: too large; both are reported. ERR_NO_MEMORY is not. */
WARN_UNUSED int conf_parse_file(struct conf_builder *builder, const char *path,
                                const struct conf_parse_options *options, struct diagnostics *diagnostics);
/* A text that is in no file; `name` is its name in messages, `directory` (absolute) what its paths start
 * from. */
WARN_UNUSED int conf_parse_text(struct conf_builder *builder, const char *name, const char *directory,
                                struct slice text, const struct conf_parse_options *options,
                                struct diagnostics *diagnostics);

#endif
