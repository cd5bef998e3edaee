/* Error pages: read by the loader, carried in the snapshot, so that every worker has them as they were when the
 * configuration was read, whatever becomes of the file. */
#ifndef HOLDFAST_MAIN_PAGES_H
#define HOLDFAST_MAIN_PAGES_H

#include "conf/builder.h"
#include "conf/tree.h"

/* Adds what the `error_page` statements of a good configuration name to the snapshot that is made. 0; ERR_NO_MEMORY;
 * ERR_IO: a file has gone, or grown beyond PAGE_MAX, since it was looked at. */
WARN_UNUSED int pages_collect(const struct conf_tree *tree, struct conf_builder *builder);

#endif
