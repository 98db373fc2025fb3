package main

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/sources/awssecrets/awstest"

	"github.com/rogpeppe/go-internal/testscript"
)

// fakeAWS is the server that a script talks to instead of AWS.
type fakeAWS struct {
	*awstest.Fake
	arns map[string]string
}

// doFake starts an AWS of the script's own: fake. The variables that lead
// there are set, and $HOST is how messages call it.
func doFake(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "fake")
	f := awstest.NewFake()
	ts.Check(f.Start())
	ts.Defer(f.Close)
	of(ts).fake = &fakeAWS{f, map[string]string{}}
	setEnv(ts, f.Env())
}

func setEnv(ts *testscript.TestScript, env map[string]string) {
	for name, v := range env {
		ts.Setenv(name, v)
	}
	u, err := url.Parse(env["AWS_ENDPOINT_URL"])
	ts.Check(err)
	ts.Setenv("HOST", u.Host)
}

// doSecret stores a value: secret name text, or the content of a file: secret
// name @file, or bytes with Go's escapes: secret name binary:a\xff.
func doSecret(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "secret name text")
	f, name, text := of(ts).fake, args[0], args[1]
	if file, ok := strings.CutPrefix(text, "@"); ok {
		text = ts.ReadFile(file)
	}
	if b, ok := strings.CutPrefix(text, "binary:"); ok {
		bytes, err := strconv.Unquote(`"` + b + `"`)
		ts.Check(err)
		f.arns[name] = f.PutBinary(name, []byte(bytes))
		return
	}
	f.arns[name] = f.Put(name, text)
}

// doMark makes a secret one that cannot be read: mark name denied.
func doMark(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "mark name state")
	state, ok := map[string]awstest.State{
		"readable": awstest.Readable, "denied": awstest.Denied, "kms-denied": awstest.KMSDenied,
		"undecryptable": awstest.Undecryptable, "deleted": awstest.Deleted, "no-value": awstest.NoValue,
	}[args[1]]
	if !ok {
		ts.Fatalf("unknown state %q", args[1])
	}
	f := of(ts).fake
	f.Mark(f.arns[args[0]], state)
}

// doFault makes the fake misbehave, by the fields of awstest.Faults: fault
// '{"Hang": true}'.
func doFault(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "fault json")
	var faults awstest.Faults
	ts.Check(json.Unmarshal([]byte(args[0]), &faults))
	of(ts).fake.Set(faults)
}

// doRequests checks how many requests the fake had since it was last asked, by
// action: requests BatchGetSecretValue 1 GetSecretValue 2. All others are 0. Any
// number is right for: requests any.
func doRequests(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 1 && args[0] == "any" {
		of(ts).fake.Forget()
		return
	}
	if neg || len(args)%2 != 0 {
		ts.Fatalf("usage: requests [action number]...")
	}
	f, sum := of(ts).fake, 0
	for i := 0; i < len(args); i += 2 {
		want, err := strconv.Atoi(args[i+1])
		ts.Check(err)
		if got := f.Calls(args[i]); got != want {
			ts.Fatalf("%d requests for %s, want %d", got, args[i], want)
		}
		sum += want
	}
	if total := f.Total(); total != sum {
		ts.Fatalf("%d requests in all, want %d", total, sum)
	}
	f.Forget()
}

// doCalled waits until the fake has had a request, or so many: called 2. Where there
// are two that came one after the other, the first has had its answer.
func doCalled(ts *testscript.TestScript, neg bool, args []string) {
	want := 1
	if len(args) > 0 {
		arguments(ts, neg, args, "called [number]")
		var err error
		want, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	f, late := of(ts).fake, time.After(patience)
	for next := f.Called(); f.Total() < want; next = f.Called() {
		select {
		case <-next:
		case <-late:
			ts.Fatalf("%d requests came, want %d", f.Total(), want)
		}
	}
}

// doTerminate asks what runs in the background to end, as docker stop does.
// testscript's own kill knows no SIGTERM.
func doTerminate(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "terminate")
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// TestMoto runs the scripts of testdata/moto against moto, one after the other:
// they share the server, and each begins with an empty one.
func TestMoto(t *testing.T) {
	t.Parallel()
	server := awstest.Moto(t)
	all, err := filepath.Glob("testdata/moto/*.txtar")
	if err != nil || len(all) == 0 {
		t.Fatal("there are no scripts for moto", err)
	}
	for _, path := range all {
		server.Reset(t)
		params := scripts("", func(env *testscript.Env) error {
			m := &motoAWS{server, env.T().(testing.TB)}
			env.Values[storyKey{}].(*story).moto = m
			for name, v := range server.Env() {
				env.Setenv(name, v)
			}
			return nil
		})
		params.Files = []string{path}
		// A test of its own: scripts that one test runs run at the same time.
		t.Run("alone", func(t *testing.T) { testscript.Run(t, params) })
	}
}

type motoAWS struct {
	*awstest.Server
	tb testing.TB
}

// doMotoSecret stores a value and puts the ARN into a variable: moto-secret ARN
// us-east-1 name text. A region may have a role before it, of the account that
// the secret is to be in: moto-secret ARN arn:aws:iam::111122223333:role/r@us-east-1
// name text.
func doMotoSecret(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "moto-secret variable region name text")
	m, region := of(ts).moto, args[1]
	role, place, ok := strings.Cut(region, "@")
	var arn string
	if ok {
		arn = m.PutAs(m.tb, role, place, args[2], args[3])
	} else {
		arn = m.Put(m.tb, region, args[2], args[3])
	}
	ts.Setenv(args[0], arn)
}

// doCount begins to count the requests that moto logs.
func doCount(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "count")
	of(ts).began = of(ts).moto.Requests(of(ts).moto.tb)
}

// doCounted checks the number of requests since `count` against the plan in a file
// that `explain --json` wrote, and against a number: counted plan.json 4. What no
// plan has may be added: counted plan.json 4 1.
func doCounted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: counted plan number [more]")
	}
	var plan struct{ Calls struct{ Total int } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &plan))
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		ts.Check(err)
		return n
	}
	more := 0
	if len(args) == 3 {
		more = number(args[2])
	}
	seen := of(ts).moto.Requests(of(ts).moto.tb) - of(ts).began
	if want := number(args[1]); plan.Calls.Total != want || seen != want+more {
		ts.Fatalf("%d calls were planned and %d requests came, want %d and %d", plan.Calls.Total, seen, want, want+more)
	}
}
