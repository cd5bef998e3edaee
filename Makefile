# A short front for Meson and Ninja; `make help` lists what there is.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_MINUTES ?= 1
PYTHON = /usr/bin/python3
# What makes the release quicker, and its build slower (bench/run --only files)
RELEASE = $(shell cat tools/release_options.txt)
MAN_PAGES = $(wildcard docs/man/*.[1-9])

.DEFAULT_GOAL := build
.PHONY: build run check soak fuzz bench install uninstall format clean help

build: ## build/holdfast and build/holdfast-anchor
	@tools/packages build
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX) $(RELEASE)
	@ninja -C $(BUILD)

run: build demo/www/numbers.txt ## build, and serve demo/ in the foreground
	@echo "demo: http://127.0.0.1:8080/ says what to try; Ctrl-C ends it"
	@USER=$$(id -un) $(BUILD)/holdfast run -c demo/holdfast.conf

demo/www/numbers.txt: # for a download that takes a while
	@seq 1 8000000 >$@.new && mv $@.new $@

check: ## every test and check, on every kind of build
	@tools/packages build test
	@tools/check

soak: ## the long tests whole; writes report/soak-DATE.md
	@tools/packages build test
	@tools/soak

fuzz: ## each fuzz target for FUZZ_MINUTES (1) of CPU time; writes report/fuzz-DATE.md
	@tools/packages build test
	@tools/fuzz --minutes $(FUZZ_MINUTES)

bench: ## what a request costs (bench/run)
	@tools/packages build bench
	@$(MAKE) --no-print-directory build
	@bench/run $(BUILD)

install: ## into PREFIX (/usr/local) below DESTDIR
	@tools/packages build
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX) $(RELEASE)
	@meson configure $(BUILD) -Dprefix=$(PREFIX) -Dlibexecdir=libexec
	@ninja -C $(BUILD)
	install -D -m 755 $(BUILD)/holdfast $(DESTDIR)$(PREFIX)/bin/holdfast
	install -D -m 755 $(BUILD)/holdfast-anchor $(DESTDIR)$(PREFIX)/libexec/holdfast/holdfast-anchor
	@for page in $(MAN_PAGES); do \
	    to=$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; \
	    echo install -D -m 644 $$page $$to; install -D -m 644 $$page $$to || exit 1; \
	done

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/holdfast $(DESTDIR)$(PREFIX)/libexec/holdfast/holdfast-anchor
	@test ! -d $(DESTDIR)$(PREFIX)/libexec/holdfast || \
	    rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/libexec/holdfast
	@for page in $(MAN_PAGES); do \
	    rm -fv $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; \
	done

format: ## clang-format over all sources
	@tools/packages build test
	@find src tests bench -name '*.[ch]' -exec clang-format -i {} +

clean: ## remove all build folders
	rm -rf $(BUILD) build-hooks build-check build-fuzz build-bench
	rm -f demo/www/numbers.txt

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
	    printf '  make %-10s %s\n' "$$name" "$$text"; \
	done
