package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources/hashivault/vaulttest"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"bifrost-secrets/sources/postgres/pgtest"
)

// patience is how long a test waits for what must come. It is there against waiting
// for ever, and not against a machine that is slow.
const patience = 2 * time.Minute

// TestMain makes programs of the test binary: the scripts and the tests run
// bifrost-secrets as a process of its own, as people do.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, programs)
}

var programs = map[string]func(){
	"bifrost-secrets":          main,
	"bifrost-secrets-crashing": crashing,
	"bifrost-secrets-telling":  telling,
	"unprivileged":             unprivileged,
	"show-environment":         showEnvironment,
	"slow-child":               slowChild,
	"stalling-logger":          stallingLogger,
	"gated-bifrost":            gatedBifrost,
	"fleet-bifrost":            fleetBifrost,
}

func init() { tellsAfter = "1h" } // of the program that scripts start, too

// telling is the program that says at once what is waited for.
func telling() {
	tellsAfter = "1ms"
	main()
}

// built reports whether what the tests start is the program that people run.
var built bool

// buildProgram puts the program that people run in the place of the test binary, which
// is larger and starts more slowly: with the race detector, in a quarter of a second,
// and there are more than a thousand starts. It is built as `make build` does, so that
// nothing is compiled twice.
func buildProgram() error {
	path, err := exec.LookPath("bifrost-secrets")
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil { // a link to the test binary
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.tellsAfter="+tellsAfter, "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// leakChecked runs the tests and then looks for goroutines that they left.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	flag.Parse()
	if built = !testing.Short() && testing.CoverMode() == ""; built {
		if err := buildProgram(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// A program that was built with the race detector sleeps a second before
	// it ends, unless it is told not to.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	code := pgtest.M{M: m.M}.Run()
	if code == 0 {
		err := goleak.Find()
		for late := time.Now().Add(patience); err != nil && time.Now().Before(late); {
			err = goleak.Find() // which itself waits for half a second at most
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// starts skips a test that starts daemons or servers, or the program many times, where
// only what is quick is asked for: the scripts that remain start the program too.
func starts(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts what takes its time")
	}
}

// TestScript runs the scripts of testdata/script. With UPDATE_SCRIPTS set, what
// `cmp` compares is written into them, to be reviewed.
func TestScript(t *testing.T) {
	t.Parallel()
	params := scripts("testdata/script", func(env *testscript.Env) error { return nil })
	if testing.Short() {
		params.Dir, params.Files = "", quickScripts(t, params.Dir)
	}
	testscript.Run(t, params)
}

// quickScripts returns the scripts of a folder that start neither a server nor a daemon,
// and the program at most 24 times.
func quickScripts(t *testing.T, dir string) (files []string) {
	t.Helper()
	starting := regexp.MustCompile(`(?m)^(fake|vault|cloud|moto-secret|control|sql)\b|^.*bifrost-secrets (exec|watch) `)
	start := regexp.MustCompile(`(?m)^!? ?(exits|exec) `)
	all, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	for _, file := range all {
		text, readErr := os.ReadFile(file)
		if err = cmp.Or(err, readErr); !starting.Match(text) && len(start.FindAll(text, -1)) <= 24 {
			files = append(files, file)
		}
	}
	if err != nil || len(files) < 12 {
		t.Fatalf("%d of %d scripts are quick: %v", len(files), len(all), err)
	}
	return files
}

// scripts are the parameters for running the scripts of a folder.
func scripts(dir string, setup func(*testscript.Env) error) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			module, err := filepath.Abs("../..")
			if err != nil {
				return err
			}
			env.Setenv("MODULE", module)
			env.Setenv("UNPRIVILEGED", strconv.Itoa(unprivilegedUser()))
			env.Values[storyKey{}] = &story{kept: map[string]looked{}}
			// The umask is not a part of the story.
			if err := private(env.WorkDir); err != nil {
				return err
			}
			return setup(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": doExits, "keep": doKeep, "kept": doKept,
			"raw": doRaw, "nested": doNested, "long": doLong, "sparse": doSparse, "expand": doExpand, "fifo": doFifo, "hardlink": doHardlink,
			"touch": doTouch, "is": doIs, "locked": doLocked,
			"age-key": doAgeKey, "age-encrypt": doAgeEncrypt,
			"fake": doFake, "secret": doSecret, "fault": doFault, "mark": doMark, "requests": doRequests, "called": doCalled, "terminate": doTerminate,
			"vault": doVault,
			"cloud": doCloud, "cloud-secret": doCloudSecret, "cloud-fault": doCloudFault, "cloud-requests": doCloudRequests,
			"moto-secret": doMotoSecret, "count": doCount, "counted": doCounted,
			"control": doControl, "loop": doLoop, "other": doOther, "asked": doAsked, "certificate": doCertificate,
			"sql": doSQL, "tables": doTables,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		UpdateScripts:      os.Getenv("UPDATE_SCRIPTS") != "",
		RequireUniqueNames: true,
	}
}

func private(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if d.IsDir() {
			mode = 0o700
		}
		return os.Chmod(path, mode)
	})
}

// story is what the commands of one script remember.
type story struct {
	kept  map[string]looked // by path
	age   *ageIdentity
	fake  *fakeAWS
	moto  *motoAWS
	vault *vaulttest.Fake
	cloud *cloud
	began int // moto's requests at `count`

	control *controlled
	asked   chan struct{} // of `other silent`

	database *pgtest.Database
}

type storyKey struct{}

func of(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

// doExits runs a program and checks the code that it ends with:
//
//	exits 2 bifrost-secrets render --nope
//
// Whatever the program is told to do, its words must be those of the program, with
// --json those of docs/json.md, no
// secret (each of which has the word CANARY in it) may be among them, and after
// a failure all that was marked with `keep` must be untouched.
func doExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [argument...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("%s ended with %d, want %d", args[1], code, want)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if fault := misspoken(stdout, stderr); fault != "" {
		ts.Fatalf("%s", fault)
	}
	if found := marked("CANARY").in([]byte(stdout + stderr)); found != "" {
		ts.Fatalf("a secret was printed, as %q", found)
	}
	if args[1] == "bifrost-secrets" && slices.Contains(args, "--json") {
		if fault := jsonFault(args[2:], code, stdout); fault != "" {
			ts.Fatalf("%s", fault)
		}
	}
	if code != 0 {
		if stderr == "" {
			ts.Fatalf("it failed without a word")
		}
		doKept(ts, false, nil)
	}
}

// misspoken says what is wrong with the form of what a program printed.
func misspoken(stdout, stderr string) string {
	if strings.Contains(stdout+stderr, "\x1b") {
		return "there is an escape sequence in what is no terminal"
	}
	for line := range strings.Lines(stderr) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "time=") || strings.HasPrefix(line, `{"time":`) { // a line of --verbose, or of a daemon
			continue
		}
		text, ok := strings.CutPrefix(line, prefix)
		switch {
		case !ok:
			return fmt.Sprintf("the line %q does not say who speaks", line)
		case strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "...") && !strings.HasSuffix(text, " ."):
			return fmt.Sprintf("the line %q ends in a full stop", line)
		}
	}
	return ""
}

// looked is all of a file that a failed run must leave alone.
type looked struct {
	content []byte
	info    fs.FileInfo
	left    []string // temporary files beside it
}

func lookAt(path string) (f looked, err error) {
	if f.info, err = os.Lstat(path); err != nil {
		return f, err
	}
	if f.content, err = os.ReadFile(path); err != nil {
		return f, err
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+filepath.Base(path)+".") {
			f.left = append(f.left, e.Name())
		}
	}
	return f, err
}

// doKeep marks a file: from now on no run that fails may touch it. Its mode and
// its time become ones that no file gets by chance: keep out.json, or keep
// out.json 600.
func doKeep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: keep file [mode]")
	}
	path, mode := ts.MkAbs(args[0]), uint64(0o640)
	if len(args) == 2 {
		var err error
		mode, err = strconv.ParseUint(args[1], 8, 16)
		ts.Check(err)
	}
	ts.Check(os.Chmod(path, fs.FileMode(mode)))
	long := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	ts.Check(os.Chtimes(path, long, long))
	f, err := lookAt(path)
	ts.Check(err)
	of(ts).kept[path] = f
}

// doKept checks that the files marked with `keep` are what they were: bytes, time,
// mode, owner, and the very same file; and that no temporary one stands beside.
func doKept(ts *testscript.TestScript, neg bool, _ []string) {
	for path, before := range of(ts).kept {
		now, err := lookAt(path)
		ts.Check(err)
		switch {
		case !bytes.Equal(before.content, now.content):
			ts.Fatalf("%s was changed", path)
		case before.info.Mode() != now.info.Mode():
			ts.Fatalf("%s has mode %v, and had %v", path, now.info.Mode(), before.info.Mode())
		case !before.info.ModTime().Equal(now.info.ModTime()):
			ts.Fatalf("%s was written at %v", path, now.info.ModTime())
		case !os.SameFile(before.info, now.info):
			ts.Fatalf("%s was replaced", path)
		case len(now.left) > 0:
			ts.Fatalf("%s: temporary files were left: %s", path, now.left)
		}
	}
}
