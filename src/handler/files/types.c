#include "handler/files/types.h"

#include <string.h>

#define TYPE_TABLE(X)                                                                                        \
    X("html", "text/html; charset=utf-8")                                                                    \
    X("htm", "text/html; charset=utf-8")                                                                     \
    X("css", "text/css; charset=utf-8")                                                                      \
    X("js", "text/javascript; charset=utf-8")                                                                \
    X("mjs", "text/javascript; charset=utf-8")                                                               \
    X("json", "application/json")                                                                            \
    X("txt", "text/plain; charset=utf-8")                                                                    \
    X("md", "text/markdown; charset=utf-8")                                                                  \
    X("csv", "text/csv; charset=utf-8")                                                                      \
    X("xml", "application/xml")                                                                              \
    X("svg", "image/svg+xml")                                                                                \
    X("png", "image/png")                                                                                    \
    X("jpg", "image/jpeg")                                                                                   \
    X("jpeg", "image/jpeg")                                                                                  \
    X("gif", "image/gif")                                                                                    \
    X("webp", "image/webp")                                                                                  \
    X("avif", "image/avif")                                                                                  \
    X("ico", "image/x-icon")                                                                                 \
    X("woff", "font/woff")                                                                                   \
    X("woff2", "font/woff2")                                                                                 \
    X("ttf", "font/ttf")                                                                                     \
    X("pdf", "application/pdf")                                                                              \
    X("wasm", "application/wasm")                                                                            \
    X("zip", "application/zip")                                                                              \
    X("gz", "application/gzip")                                                                              \
    X("mp3", "audio/mpeg")                                                                                   \
    X("mp4", "video/mp4")                                                                                    \
    X("webm", "video/webm")                                                                                  \
    X("xhtml", "application/xhtml+xml")                                                                      \
    X("map", "application/json")                                                                             \
    X("webmanifest", "application/manifest+json")                                                            \
    X("atom", "application/atom+xml")                                                                        \
    X("yaml", "application/yaml")                                                                            \
    X("ics", "text/calendar; charset=utf-8")                                                                 \
    X("vtt", "text/vtt; charset=utf-8")                                                                      \
    X("log", "text/plain; charset=utf-8")                                                                    \
    X("bmp", "image/bmp")                                                                                    \
    X("apng", "image/apng")                                                                                  \
    X("jxl", "image/jxl")                                                                                    \
    X("tiff", "image/tiff")                                                                                  \
    X("otf", "font/otf")                                                                                     \
    X("epub", "application/epub+zip")                                                                        \
    X("zst", "application/zstd")                                                                             \
    X("ogg", "audio/ogg")                                                                                    \
    X("opus", "audio/ogg")                                                                                   \
    X("m4a", "audio/mp4")                                                                                    \
    X("flac", "audio/flac")                                                                                  \
    X("wav", "audio/wav")                                                                                    \
    X("ogv", "video/ogg")                                                                                    \
    X("mov", "video/quicktime")

static const struct {
    struct slice extension, type;
} types[] = {
#define TYPE_ROW(extension, type) {{extension, sizeof(extension) - 1}, {type, sizeof(type) - 1}},
    TYPE_TABLE(TYPE_ROW)
#undef TYPE_ROW
};

struct slice types_of_path(struct slice path)
{
    size_t dot = path.length;

    while (dot > 0 && path.at[dot - 1] != '.' && path.at[dot - 1] != '/')
        dot--;
    if (dot > 0 && path.at[dot - 1] == '.') {
        struct slice extension = {path.at + dot, path.length - dot};

        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (slice_equals_nocase(types[i].extension, extension))
                return types[i].type;
    }
    return SLICE_LITERAL("application/octet-stream");
}
