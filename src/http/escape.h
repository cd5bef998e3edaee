/* Bytes of others inside texts of ours: HTML, URIs, the access log. JSON is text_add_json (base/bytes.h).
 *
 * All add to a text and never write past it; when the room does not do, the text's `overflow` is set and a
 * part of the escaped bytes stands in it. One byte becomes at most ESCAPE_*_MAX bytes. */
#ifndef HOLDFAST_HTTP_ESCAPE_H
#define HOLDFAST_HTTP_ESCAPE_H

#include "base/bytes.h"

#define ESCAPE_HTML_MAX 6
#define ESCAPE_URI_MAX 3
#define ESCAPE_LOG_MAX 4

/* For the text of an element and for a value in single or double quotes, in a document that is UTF-8:
 * & < > " ' become references, control bytes but tab and line feed become U+FFFD (HTML forbids them). Bytes
 * from 0x80 on are left to the browser, which takes no ASCII byte into a broken sequence. Not for scripts,
 * styles and values without quotes. */
void escape_add_html(struct text *text, struct slice bytes);

/* One segment of a path (RFC 3986 section 3.3): everything but unreserved characters (section 2.3) becomes
 * %HH, in capitals (section 2.1). So the slash is a part of the name, a colon makes no scheme of a relative
 * reference, and the result may stand in HTML and in a field as it is. "." and ".." cannot be escaped by
 * anything. */
void escape_add_segment(struct text *text, struct slice bytes);
/* A decoded path, its slashes left as they are; for Location. Two slashes at the front would begin a host:
 * the second one and those after it are left out. */
void escape_add_path(struct text *text, struct slice bytes);

/* A field of the combined log between its quotes: double quote, backslash, controls, DEL and bytes from 0x80
 * on become \xHH in capitals, so a line is ASCII, stays one line, and the field ends at the next quote.
 * An empty one becomes "-". */
void escape_add_log(struct text *text, struct slice bytes);

#endif
