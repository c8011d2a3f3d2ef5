# distcomp. `make help` lists the targets; docs/dependencies.md says what they need.
#
#   V=1                       shows the commands
#   WERROR=1                  warnings are errors (as in CI)
#   SANITIZE=address,undefined or SANITIZE=thread
#                             builds into build-asan or build-tsan, programs in its bin/
#   DISTCOMP_BIN=DIR          where the integration tests look for the programs (set by this file)

SANITIZE ?=
WERROR   ?=
V        ?=
PREFIX   ?= /usr/local
DESTDIR  ?=
PYTHON   ?= /usr/bin/python3
PYTEST_FLAGS ?=
FUZZ_SECONDS ?= 60

comma := ,
ifeq ($(SANITIZE),)
  BUILD := build
  BIN   := bin
else
  BUILD := $(if $(findstring address,$(SANITIZE)),build-asan,$(if $(findstring \
    thread,$(SANITIZE)),build-tsan,build-$(subst $(comma),-,$(SANITIZE))))
  BIN   := $(BUILD)/bin
endif

ifeq ($(V),)
  say = @printf '  %-7s %s\n' '$(1)' '$(2)';
else
  say =
endif

# --- flags ------------------------------------------------------------------------------------

PKG_CONFIG ?= pkg-config
PACKAGES   := hiredis libuv jansson libxxhash zlib
# Only its header is used; the library is opened at run time where it is there. HWLOC=no builds without.
HWLOC      ?= $(shell $(PKG_CONFIG) --exists 'hwloc >= 2' 2>/dev/null && echo yes)
HAVE_PACKAGES := $(shell $(PKG_CONFIG) --exists $(PACKAGES) 2>/dev/null && echo yes)
ifeq ($(HAVE_PACKAGES),yes)
  # As system headers: their warnings are not ours.
  PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PACKAGES)))
  PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PACKAGES))
endif
ifeq ($(HWLOC),yes)
  PKG_CFLAGS += -DHAVE_HWLOC $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags hwloc))
endif

VERSION := $(shell git describe --tags --always --dirty=+ 2>/dev/null || echo 0)
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion $(if $(filter-out 0,$(WERROR)),-Werror)
SAN  := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
CPPFLAGS_ALL := -D_GNU_SOURCE -I. -I$(BUILD)/include $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS  ?= -O2 -g
CFLAGS_ALL := -std=gnu11 $(WARN) $(SAN) -pthread $(CFLAGS)
LDFLAGS_ALL := $(SAN) -pthread $(LDFLAGS)
LIBS_ALL := $(PKG_LIBS) -lm -ldl $(LIBS)
# What plug-ins share is linked into each; only distcomp_kernel is seen from outside.
KERNEL_FLAGS := -fPIC -fvisibility=hidden -I kernels
BLAS_LIBS   := $(shell $(PKG_CONFIG) --libs openblas 2>/dev/null)
BLAS_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags openblas 2>/dev/null))

# --- what there is ----------------------------------------------------------------------------

COMMON  := $(wildcard common/*.c)
MANAGER := $(wildcard manager/*.c)
WORKER  := $(wildcard worker/*.c)
# Native kernels (docs/kernels.md): the host with its data, what plug-ins share, the plug-ins, the planners.
KERNEL_HOST := $(wildcard kernels/host/*.c kernels/data/*.c)
KERNEL_KIT  := $(wildcard kernels/kit/*.c kernels/cuda/*.c)
PLUGINS     := $(wildcard kernels/plugins/*.c)
PLANNERS    := $(wildcard kernels/plan/*.c)
KERNELS     := $(KERNEL_HOST) $(KERNEL_KIT) $(PLUGINS) $(PLANNERS)
LUA     := $(wildcard common/lua/*.lua common/lua/lib/*.lua)
UNIT    := $(wildcard tests/unit/*_test.c)
FAKE_NVML := tests/lib/fake_nvml.c
FAKE_CUDA := tests/lib/fake_cuda.c tests/lib/fake_cublas.c
HELPERS := $(filter-out $(FAKE_NVML) $(FAKE_CUDA),$(wildcard tests/lib/*.c))
BENCHES := $(wildcard tests/bench/*.c)
FUZZERS := $(wildcard tests/fuzz/*.c)
SIMULATE := $(wildcard tests/simulate/*.c)

object = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIBCOMMON  := $(BUILD)/libcommon.a
LIBMANAGER := $(BUILD)/libmanager.a
LIBWORKER  := $(BUILD)/libworker.a
LIBHOST    := $(BUILD)/libkernelhost.a
LIBKIT     := $(BUILD)/libkernelkit.a
LIBPLAN    := $(BUILD)/libplan.a
LIBRARIES  := $(LIBMANAGER) $(LIBWORKER) $(LIBPLAN) $(LIBHOST) $(LIBKIT) $(LIBCOMMON)
PLUGIN_FILES := $(patsubst kernels/plugins/%.c,$(BIN)/kernels/%.so,$(PLUGINS))
PROGRAMS   := $(BIN)/redisManager $(BIN)/redisWorker \
              $(if $(wildcard kernels/host/main.c),$(BIN)/kernelHost) \
              $(if $(wildcard kernels/plan/main.c),$(BIN)/redisPlan) $(PLUGIN_FILES)
UNIT_PROGRAMS  := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT))
HELPER_PROGRAMS := $(patsubst tests/lib/%.c,$(BUILD)/tests/lib/%,$(HELPERS)) \
                   $(BUILD)/tests/lib/nvml/libnvidia-ml.so.1 \
                   $(BUILD)/tests/lib/cuda/libcuda.so.1 $(BUILD)/tests/lib/cuda/libcublas.so.13
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(BENCHES))
SIMULATOR := $(BUILD)/tests/bench/simulate
FUZZ_PROGRAMS  := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZERS))
CHAOS_PROGRAMS := $(BUILD)/tests/chaos/chaos_task $(BUILD)/tests/chaos/kernels/chaos.so \
                  $(BUILD)/tests/chaos/clockstep.so
SOURCES := $(COMMON) $(MANAGER) $(WORKER) $(KERNELS) $(UNIT) $(HELPERS) $(BENCHES) $(SIMULATE)
C_FILES = $(wildcard common/*.[ch] manager/*.[ch] worker/*.[ch] kernels/*.[ch] kernels/*/*.[ch] tests/*/*.[ch])
SHELL_FILES = $(wildcard *.sh .ci/run common/lua/*.sh tests/*/*.sh taskfiles/*.sh taskfiles/*/*.sh)

.PHONY: all programs tests-built deps deps-test deps-lint deps-bench demo test unit integration lint \
        lint-format lint-tidy lint-cppcheck lint-shell lint-lua format bench fuzz memcheck install \
        uninstall clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS)

# --- compiling --------------------------------------------------------------------------------

# The flags and the list of sources are kept in files that change only when they do, so that other
# flags mean rebuilt and a source that went away leaves nothing behind in an archive.
define keep_text
@mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || \
  printf '%s\n' '$(subst ','\'',$(1))' >$@
endef

$(BUILD)/flags: FORCE
ifneq ($(HAVE_PACKAGES),yes)
	@echo "make: the libraries $(PACKAGES) were not found by $(PKG_CONFIG); run: make deps" >&2; exit 1
endif
	$(call keep_text,$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(LIBS_ALL) $(KERNEL_FLAGS) $(BLAS_LIBS))

$(BUILD)/sources: FORCE
	$(call keep_text,$(COMMON) $(MANAGER) $(WORKER) $(KERNELS))

$(BUILD)/luafiles: FORCE
	$(call keep_text,$(LUA))

$(BUILD)/include/version.h: FORCE
	$(call keep_text,#define DISTCOMP_VERSION "$(VERSION)")

# The same bits on every CPU, with and without fused multiply-add.
$(BUILD)/kernels/kit/mlpfull.o: private KERNEL_FLAGS += -ffp-contract=off
# Its loops over rows are only fast as vectors.
$(BUILD)/kernels/kit/mlpsgd.o: private KERNEL_FLAGS += -O3
$(BUILD)/kernels/%.o: kernels/%.c $(BUILD)/flags | $(BUILD)/include/version.h
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS_ALL) $(BLAS_CFLAGS) $(CFLAGS_ALL) $(KERNEL_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.c $(BUILD)/flags | $(BUILD)/include/version.h
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/scripts.c: common/lua/embed.sh $(LUA) $(BUILD)/luafiles
	$(call say,EMBED,$@)sh common/lua/embed.sh common/lua >$@

$(BUILD)/scripts.o: $(BUILD)/scripts.c common/script.h $(BUILD)/flags
	$(call say,CC,$<)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

archive = $(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)
$(LIBCOMMON): $(call object,$(COMMON)) $(if $(wildcard common/script.h),$(BUILD)/scripts.o) \
              $(BUILD)/sources
	$(archive)
$(LIBMANAGER): $(call object,$(filter-out %/main.c,$(MANAGER))) $(BUILD)/sources
	$(archive)
$(LIBWORKER): $(call object,$(filter-out %/main.c,$(WORKER))) $(BUILD)/sources
	$(archive)

$(LIBHOST): $(call object,$(filter-out %/main.c,$(KERNEL_HOST))) $(BUILD)/sources
	$(archive)
$(LIBKIT): $(call object,$(KERNEL_KIT)) $(BUILD)/sources
	$(archive)
$(LIBPLAN): $(call object,$(filter-out %/main.c,$(PLANNERS))) $(BUILD)/sources
	$(archive)

link = @mkdir -p $(@D)
link_command = $(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(1) $(LIBS_ALL)

$(BIN)/redisManager: $(BUILD)/manager/main.o $(LIBMANAGER) $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(call link_command)
$(BIN)/redisWorker: $(BUILD)/worker/main.o $(LIBWORKER) $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(call link_command)
# Plug-ins find the host's functions in the program that opens them.
$(BIN)/kernelHost: $(BUILD)/kernels/host/main.o $(LIBHOST) $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -Wl,--export-dynamic-symbol='kernel_*' -o $@ $< \
	  -Wl,--whole-archive $(LIBHOST) -Wl,--no-whole-archive $(LIBCOMMON) $(LIBS_ALL)
$(BIN)/redisPlan: $(BUILD)/kernels/plan/main.o $(LIBPLAN) $(LIBHOST) $(LIBKIT) $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(call link_command)
$(BIN)/kernels/%.so: $(BUILD)/kernels/plugins/%.o $(LIBKIT)
	$(link)
	$(call say,LINK,$@)$(CC) $(LDFLAGS_ALL) -shared -o $@ $< $(LIBKIT) -Wl,--as-needed $(BLAS_LIBS) -lz -lm -ldl

$(BUILD)/tests/lib/%: $(BUILD)/tests/lib/%.o $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(call link_command)
# Reads and writes as a kernel does, without a host.
$(BUILD)/tests/lib/data_copy: $(BUILD)/tests/lib/data_copy.o $(LIBHOST) $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(call link_command)
$(BUILD)/tests/bench/blas_alone.o: CPPFLAGS_ALL += $(BLAS_CFLAGS)
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(LIBWORKER) $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(call link_command,$(if $(findstring /blas_,$@),$(BLAS_LIBS)))
$(BUILD)/tests/bench/cublas_alone: $(LIBKIT)
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(LIBRARIES)
	$(link)
	$(call say,LINK,$@)$(call link_command,-lcmocka $(if $(findstring /kernel_,$@),$(BLAS_LIBS)))
# The simulator is linked with the worker's own decisions; its test with the simulator.
$(SIMULATOR): $(call object,$(SIMULATE)) $(LIBWORKER) $(LIBCOMMON)
	$(link)
	$(call say,LINK,$@)$(call link_command)
$(BUILD)/tests/simulate_test: $(call object,$(filter-out %/main.c,$(SIMULATE)))
# A fuzzer is one file with LLVMFuzzerTestOneInput; everything it tests is compiled with it. That of the
# wire protocol has the supervisor's half, with processes of its own making.
$(BUILD)/tests/fuzz/fuzz_wire: $(patsubst %,worker/%.c,wireio agentlink slot pulse orphan spawn confine \
                                 capture ending host stray proctree procfile)
$(BUILD)/tests/fuzz/fuzz_wire: FUZZ_FLAGS := -Dclone=fuzz_clone
$(BUILD)/tests/fuzz/fuzz_npy: kernels/data/npy.c
$(BUILD)/tests/fuzz/fuzz_kernel: kernels/host/params.c kernels/host/request.c
$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(COMMON) $(BUILD)/scripts.c $(BUILD)/flags
	$(link)
	$(call say,FUZZ,$@)clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined $(CPPFLAGS_ALL) $(FUZZ_FLAGS) \
	  -o $@ $(filter %.c,$^) $(LIBS_ALL)

# Without sanitizers: one runs a thousand times a minute, the other is loaded into redis-server.
chaos_command = $(CC) -std=gnu11 -D_GNU_SOURCE -I. $(WARN) -O2 -o $@ $<
$(BUILD)/tests/chaos/chaos_task: tests/chaos/chaos_task.c tests/chaos/chaos_marks.h $(BUILD)/flags
	$(link)
	$(call say,CC,$<)$(chaos_command)
$(BUILD)/tests/chaos/kernels/chaos.so: tests/chaos/chaos_kernel.c tests/chaos/chaos_marks.h kernels/kernel.h \
                                       $(BUILD)/flags
	$(link)
	$(call say,CC,$<)$(chaos_command) -fPIC -shared
$(BUILD)/tests/chaos/clockstep.so: tests/chaos/clockstep.c $(BUILD)/flags
	$(link)
	$(call say,CC,$<)$(chaos_command) -fPIC -shared

# Without sanitizers: it takes as much memory as it is told.
$(BUILD)/tests/lib/memhog: tests/lib/memhog.c $(BUILD)/flags
	$(link)
	$(call say,CC,$<)$(chaos_command)

# Under its real name, for dlopen and LD_LIBRARY_PATH.
$(BUILD)/tests/lib/nvml/libnvidia-ml.so.1: $(FAKE_NVML) worker/nvml.h $(BUILD)/flags
	$(link)
	$(call say,CC,$<)$(CC) -std=gnu11 -D_GNU_SOURCE -I. $(WARN) -O2 -fPIC -shared \
	  -Wl,-soname,$(@F) -o $@ $<

fake_cuda = $(CC) -std=gnu11 -D_GNU_SOURCE -I. $(WARN) -O2 -fPIC -shared -Wl,-soname,$(@F) -o $@ $< -lm
$(BUILD)/tests/lib/cuda/libcuda.so.1: tests/lib/fake_cuda.c kernels/cuda/cudalib.h $(BUILD)/flags
	$(link)
	$(call say,CC,$<)$(fake_cuda)
$(BUILD)/tests/lib/cuda/libcublas.so.13: tests/lib/fake_cublas.c kernels/cuda/cudalib.h $(BUILD)/flags
	$(link)
	$(call say,CC,$<)$(fake_cuda)

-include $(patsubst %.o,%.d,$(call object,$(SOURCES)))

# --- installing what is needed ----------------------------------------------------------------

# The libraries may be there only after deps: what builds is always a new make.
submake = +@$(MAKE) --no-print-directory

deps: ; @bash .ci/deps.sh build
deps-test: ; @bash .ci/deps.sh build test
deps-lint: ; @bash .ci/deps.sh build lint
deps-bench: ; @bash .ci/deps.sh build test bench
deps-model: ; @bash .ci/deps.sh model

demo: deps
	$(submake) all
	@DISTCOMP_BIN='$(abspath $(BIN))' bash taskfiles/demo.sh

# --- tests ------------------------------------------------------------------------------------

test: deps-test
	$(submake) unit
	$(submake) integration

tests-built: all $(UNIT_PROGRAMS) $(HELPER_PROGRAMS) $(BUILD)/tests/chaos/clockstep.so

# Every program runs, whatever the others did; tests/lib/unit.sh prints one summary line.
unit: tests-built
	@bash tests/lib/unit.sh $(UNIT_PROGRAMS)

# The scripts' tests run with redis-server, and with valkey-server too where that is in PATH.
# DISTCOMP_SERVER=valkey-server: all tests, with this one alone.
integration: tests-built
	@DISTCOMP_BIN='$(abspath $(BIN))' DISTCOMP_HELPERS='$(abspath $(BUILD)/tests/lib)' \
	  $(PYTHON) -m pytest -q -p no:cacheprovider tests/integration $(PYTEST_FLAGS)

# Kills and cuts off everything at random while thousands of tasks run (docs/reliability.md): CHAOS_SEED=N,
# CHAOS_MINUTES=30 for a long run. recovery: how long it takes after each kind of death.
chaos: all $(CHAOS_PROGRAMS)
	@$(chaos_environment) $(PYTHON) tests/chaos/chaos.py
recovery: all $(CHAOS_PROGRAMS)
	@$(chaos_environment) $(PYTHON) tests/chaos/recovery.py
chaos_environment = DISTCOMP_BIN='$(abspath $(BIN))' CHAOS_BIN='$(abspath $(BUILD)/tests/chaos)'
.PHONY: chaos recovery

# The unit tests, and a whole session of manager and worker, under valgrind.
memcheck: tests-built
	@WRAP='env UNDER_VALGRIND=1 valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=9' \
	  DISTCOMP_CI= bash tests/lib/unit.sh $(UNIT_PROGRAMS)
	@DISTCOMP_BIN='$(abspath $(BIN))' DISTCOMP_HELPERS='$(abspath $(BUILD)/tests/lib)' PYTHON='$(PYTHON)' \
	  bash tests/lib/memcheck.sh $(addprefix tests/integration/,session_test.py add_test.py)

bench: deps-bench
	$(submake) all bench-built
	@DISTCOMP_BIN='$(abspath $(BIN))' DISTCOMP_HELPERS='$(abspath $(BUILD)/tests/bench)' \
	  $(PYTHON) tests/bench/bench.py $(BENCH_FLAGS) $(BENCH)
# Rules of admission and return on drawn traces, with a virtual clock (docs/memory.md); SIMULATE_FLAGS=--help
simulate: $(SIMULATOR)
	@$(SIMULATOR) $(SIMULATE_FLAGS)
.PHONY: bench-built simulate
bench-built: $(BENCH_PROGRAMS) $(SIMULATOR) $(BUILD)/tests/lib/memhog

# The protocol's model (docs/model/README.md): every mix of unlucky events, every seeded fault.
.PHONY: model deps-model
model: deps-model
	@MODEL_DIR='$(BUILD)/model' $(PYTHON) docs/model/check.py $(MODEL_FLAGS)

# Each fuzzer for FUZZ_SECONDS; its corpus starts from tests/fuzz/corpus/NAME
# or, where that is binary, from what tests/fuzz/seeds.py writes.
fuzz: $(FUZZ_PROGRAMS)
	@$(PYTHON) tests/fuzz/seeds.py $(BUILD)/seeds
	@set -e; for program in $(FUZZ_PROGRAMS); do name=$${program##*/}; echo "$$name: $(FUZZ_SECONDS) s"; \
	  mkdir -p $(BUILD)/corpus/$$name; seeds=; \
	  for dir in tests/fuzz/corpus/$$name $(BUILD)/seeds/$$name; do [ ! -d $$dir ] || seeds="$$seeds $$dir"; done; \
	  $$program -max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -verbosity=0 -artifact_prefix=$(BUILD)/ \
	    $(BUILD)/corpus/$$name $$seeds; done

# --- lint -------------------------------------------------------------------------------------

lint: lint-format lint-shell lint-lua lint-cppcheck lint-tidy

lint-format:
	$(call say,FORMAT,check)clang-format --dry-run -Werror $(C_FILES)
lint-shell:
	$(call say,SHELL,$(SHELL_FILES))shellcheck $(SHELL_FILES)
lint-lua:
	$(if $(LUA),$(call say,LUA,common/lua)sh common/lua/check.sh common/lua,@:)
lint-cppcheck:
	$(call say,CPPCHECK,)cppcheck -q --std=c11 --error-exitcode=1 --inline-suppr \
	  --enable=warning,portability,performance --suppress=missingIncludeSystem -D_GNU_SOURCE -I. \
	  -I kernels $(COMMON) $(MANAGER) $(WORKER) $(KERNELS)
lint-tidy: $(BUILD)/include/version.h
	$(call say,TIDY,)printf '%s\n' $(COMMON) $(MANAGER) $(WORKER) $(KERNELS) | xargs -P "$$(nproc)" -I{} \
	  clang-tidy --quiet --warnings-as-errors='*' {} -- -std=gnu11 $(CPPFLAGS_ALL) $(BLAS_CFLAGS) -I kernels 2>/dev/null

format:
	$(call say,FORMAT,)clang-format -i $(C_FILES)

# --- installing distcomp ----------------------------------------------------------------------

install: all
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/distcomp'
	install $(filter-out %.so,$(PROGRAMS)) '$(DESTDIR)$(PREFIX)/bin'
	install -d '$(DESTDIR)$(PREFIX)/lib/distcomp/kernels' '$(DESTDIR)$(PREFIX)/include/distcomp'
	install -m 644 $(PLUGIN_FILES) '$(DESTDIR)$(PREFIX)/lib/distcomp/kernels'
	install -m 644 kernels/kernel.h '$(DESTDIR)$(PREFIX)/include/distcomp'
	install redis.sh '$(DESTDIR)$(PREFIX)/share/distcomp'
	install -m 644 conf.json.example $(wildcard hosts.example) LICENSE '$(DESTDIR)$(PREFIX)/share/distcomp'
	$(if $(wildcard docs/*.1),install -d '$(DESTDIR)$(PREFIX)/share/man/man1' && \
	  install -m 644 $(wildcard docs/*.1) '$(DESTDIR)$(PREFIX)/share/man/man1')
	$(if $(wildcard worker/*.service),install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system' && \
	  install -m 644 $(wildcard worker/*.service) '$(DESTDIR)$(PREFIX)/lib/systemd/system')
	$(if $(wildcard manager/*.bash),install -d '$(DESTDIR)$(PREFIX)/share/bash-completion/completions' && \
	  install -m 644 $(wildcard manager/*.bash) '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/redisManager')

uninstall:
	rm -f $(patsubst $(BIN)/%,'$(DESTDIR)$(PREFIX)/bin/%',$(filter-out %.so,$(PROGRAMS)))
	rm -rf $(patsubst %,'$(DESTDIR)$(PREFIX)/%/distcomp',share lib include)
	rm -f $(patsubst docs/%,'$(DESTDIR)$(PREFIX)/share/man/man1/%',$(wildcard docs/*.1)) \
	  $(patsubst worker/%,'$(DESTDIR)$(PREFIX)/lib/systemd/system/%',$(wildcard worker/*.service)) \
	  '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/redisManager'

clean:
	rm -rf build build-* bin

help:
	@echo 'make              build bin/redisManager and bin/redisWorker'
	@echo 'make demo         install what is missing, build, run a real batch, leave nothing running'
	@echo 'make test         install what the tests need, build, run all tests'
	@echo 'make unit         the unit tests;  make integration  the tests with real processes'
	@echo 'make lint         clang-format, clang-tidy, cppcheck, shellcheck, Lua   (make deps-lint first)'
	@echo 'make format       clang-format, in place'
	@echo 'make bench        measure, side by side with other tools; BENCH=exec for one part'
	@echo 'make simulate     compare rules of admission and return on drawn traces; SIMULATE_FLAGS=--help'
	@echo 'make fuzz         fuzz the parsers for FUZZ_SECONDS=60 each (needs clang)'
	@echo 'make chaos        kill everything at random and account for every task; CHAOS_SEED= CHAOS_MINUTES='
	@echo 'make recovery     how long it takes until all is right again after each kind of death'
	@echo 'make model        check the protocol model with Spin, seeded faults too (two minutes)'
	@echo 'make memcheck     the unit tests and a whole session under valgrind'
	@echo 'make deps         install what building needs (apt); deps-test, deps-lint, deps-bench too'
	@echo 'make install      PREFIX=/usr/local DESTDIR=;  make uninstall'
	@echo 'V=1 shows commands, WERROR=1, SANITIZE=address,undefined or thread (build-asan, build-tsan)'
