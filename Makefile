# The two commands to know are `make demo` and `make test`. Both do all their
# own set-up: Go's modules come by themselves, and what else the tests use (moto,
# an emulator of AWS, PostgreSQL, promtool, and Chromium) goes into .cache where it
# is not installed.

GO ?= go
export GOFLAGS ?= -buildvcs=false
VERSION ?=
# The address of docs/lint.md, for the helpUri of SARIF.
DOCS ?=
# What images are called; `make home` writes it.
IMAGE ?= registry.example.com/bifrost-secrets
# PATH is an argument of `make home`: its recipe alone does not see the caller's.
home :=
ifeq ($(origin PATH),command line)
home := $(PATH)
override PATH := /usr/local/bin:/usr/bin:/bin
endif
LDFLAGS = -s -w $(if $(VERSION),-X main.version=$(VERSION)) $(if $(DOCS),-X bifrost-secrets/walker/lint/report.docs=$(DOCS))
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0
ACTIONLINT = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
FUZZTIME ?= 60s

.PHONY: home dist image test-dist demo build test test-program test-process test-packages test-counts test-short docs check bench soak fuzz setup clean

demo: build
	@mkdir -p demo && chmod -R go-rwx testdata/demo/secrets
	@echo '$$ bifrost-secrets explain --config testdata/demo/config.json'
	@bin/bifrost-secrets explain --quiet --config testdata/demo/config.json
	@echo
	@echo '$$ bifrost-secrets render --config testdata/demo/config.json --out demo/config.json'
	@bin/bifrost-secrets render --config testdata/demo/config.json --out demo/config.json
	@echo
	@echo 'The config that Bifrost would start with: demo/config.json. To see what was changed:'
	@echo '$$ diff testdata/demo/config.json demo/config.json'

build:
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/bifrost-secrets ./cmd/bifrost-secrets-lint

# What the tests need beside Go.
setup:
	@./testdata/setup.sh

# Tests wait about as long as they work, hence the parts run beside each other, and
# four packages, or six tests of the program, at a time on any machine.
test: setup
	@$(MAKE) --no-print-directory -j 4 test-program test-packages test-counts test-process

# The tests of the programs start them as people do, and the race detector sees none of
# what they start: it is for those of them that run within the test's process.
test-program:
	BIFROST_REQUIRE_BACKENDS=1 CGO_ENABLED=0 $(GO) test -trimpath -parallel 6 -timeout 30m ./cmd/bifrost-secrets ./cmd/bifrost-secrets-lint

test-process:
	$(RACE) -short -skip '^TestScript$$' ./cmd/bifrost-secrets

# The longest come first, so that none of them runs alone in the end.
test-packages:
	$(RACE) -p 4 ./watch/cluster ./sources/postgres ./watch ./sources/awssecrets ./docs ./render/configstore \
		$$($(GO) list ./... | grep -v '/cmd/bifrost-secrets')

# What the race detector makes ten times as slow and finds nothing in, counting for a
# day and for ten thousand refreshes, is whole here, compiled as the program is.
test-counts:
	BIFROST_REQUIRE_BACKENDS=1 CGO_ENABLED=0 $(GO) test -trimpath -timeout 30m -run '^Test(Day|TenThousand|IdleDay)$$' ./watch

# With -trimpath, clones share what is compiled. A binary with the race detector would
# sleep for a second before it ends, for the sake of goroutines that are still there:
# ours leave none, which goleak sees to.
RACE = GORACE='atexit_sleep_ms=0 $(GORACE)' BIFROST_REQUIRE_BACKENDS=1 $(GO) test -race -trimpath -timeout 30m

# For the loop of somebody who changes a line: no server, no daemon, and no program many
# times. The packages are compiled as the program is, so that both share what is compiled.
# It does not vet: `make check` does, and `make test`. Those that wait the longest come first.
test-short:
	CGO_ENABLED=0 $(GO) test -short -vet=off -trimpath -p 4 ./watch ./sources/hashivault ./sources/awssecrets ./render ./cmd/bifrost-secrets ./...

# The pages that are made of the commands: docs/reference and docs/man. The schemas for
# editors are made of the tables: docs/schema.
docs:
	$(GO) test ./cmd/bifrost-secrets -run '^(TestReference|TestSchema)$$' -update
	$(GO) test ./walker/lint -run '^TestSettingsSchema$$' -update

# A release, in dist/: archives, packages, an image, a bill of materials, sums.
dist:
	@cd deploy/dist && $(GO) run . -version '$(VERSION)' -image '$(IMAGE)'

# The program in front of a Bifrost image, without a container engine: make image
# BASE=bifrost.tar, a file as `docker save` or `skopeo copy` writes it. See docs/release.md.
image:
	@cd deploy/dist && $(GO) run . -version '$(VERSION)' -image '$(dir $(IMAGE))bifrost-with-secrets' -base '$(abspath $(BASE))'

# Makes a release twice, and tries each file of it. Wants root for what it installs.
test-dist:
	cd deploy/dist && $(GO) test -count 1 -timeout 60m -v .

# Where this is published, written everywhere: make home PATH=github.com/acme/bifrost-secrets
home:
	@deploy/home.sh '$(home)' $(if $(filter command line,$(origin IMAGE)),'$(IMAGE)')

check:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt on these files'; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags bench ./cmd/bifrost-secrets
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) build -o /dev/null ./cmd/bifrost-secrets && GOOS=windows $(GO) build -o /dev/null ./cmd/bifrost-secrets-lint
	cd deploy/dist && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(ACTIONLINT) -shellcheck= .github/workflows/*.yml
	$(GO) run $(GOVULNCHECK) ./... # asks vuln.go.dev

# Run by hand, and not by `go test`, which hides what a passing test prints.
bench: build
	@mkdir -p .cache
	@$(GO) test -tags bench -c -o .cache/bench ./cmd/bifrost-secrets
	@cd cmd/bifrost-secrets && ../../.cache/bench -test.run '^TestBench$$' -test.timeout 30m

# What takes longer than a test may.
soak: setup
	BIFROST_REQUIRE_BACKENDS=1 BIFROST_SIGNAL_RUNS=400 BIFROST_ROTATIONS=10 $(GO) test -count 1 -v -timeout 30m -run '^(TestExecUnderSignals|TestTurnsOfFleet)$$' ./cmd/bifrost-secrets

fuzz:
	@set -e; for found in $$(grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sed 's/func //' | sort); do \
		package=$$(dirname "$${found%%:*}"); target=$${found##*:}; \
		echo "== $$target in $$package"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $$package; \
	done

clean:
	rm -rf bin demo dist .cache
