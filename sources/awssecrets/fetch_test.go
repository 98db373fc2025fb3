package awssecrets

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/cloudtest"
)

// check fetches names, whose values are those of numbered, and compares the
// numbers of requests.
func (o opened) check(t *testing.T, f *awstest.Fake, names []string, batches, singles int) {
	t.Helper()
	f.Forget()
	got := o.fetch(t, names...)
	for _, name := range names {
		wantValue(t, got[name], "value of "+name)
	}
	if b, s := f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"); b != batches || s != singles {
		t.Errorf("%d batches and %d single requests, want %d and %d", b, s, batches, singles)
	}
}

func TestRequestsAreThosePlanned(t *testing.T) {
	f := awstest.StartFake(t)
	all := numbered(f, 450)
	for _, c := range []struct {
		names int
		want  sources.Calls
	}{
		{0, sources.Calls{}},
		{1, sources.Calls{Single: 1}},
		{2, sources.Calls{Batch: 1, IfRefused: 2}},
		{20, sources.Calls{Batch: 1, IfRefused: 20}},
		{21, sources.Calls{Batch: 2, IfRefused: 21}},
		{60, sources.Calls{Batch: 3, IfRefused: 60}},
		{61, sources.Calls{Batch: 4, IfRefused: 61}},
		{450, sources.Calls{Batch: 23, IfRefused: 450}},
	} {
		t.Run(fmt.Sprintf("%d names", c.names), func(t *testing.T) {
			s := open(t, f.Env(), settings())
			names := all[:c.names]
			if got := s.Plan(names); got != c.want {
				t.Errorf("plan %+v, want %+v", got, c.want)
			}
			s.check(t, f, names, c.want.Batch, c.want.Single)
			for id, n := range f.Asked() {
				if n != 1 {
					t.Errorf("%s was asked for %d times", id, n)
				}
			}
		})
	}
}

func TestRefusedBatchesAreRemembered(t *testing.T) {
	for name, faults := range map[string]awstest.Faults{
		"denied":            {DenyBatch: true},
		"action not known":  {NoBatch: true},
		"code not readable": {RejectBatch: "UnsupportedOperation"},
	} {
		t.Run(name, func(t *testing.T) {
			f := awstest.StartFake(t)
			names := numbered(f, 200)
			faults.Latency = 2 * time.Millisecond // so that requests come together
			f.Set(faults)
			s := open(t, f.Env(), settings())
			s.check(t, f, names, 3, 200)
			if most := f.MostAtOnce(); most > 16 {
				t.Errorf("%d requests at once", most)
			}
			if got, want := s.Plan(names), (sources.Calls{Single: 200}); got != want {
				t.Errorf("plan after the refusal %+v, want %+v", got, want)
			}
			s.check(t, f, names, 0, 200)
			// Allowed again: the process has remembered.
			f.Set(awstest.Faults{})
			s.check(t, f, names[:40], 0, 40)
		})
	}
}

func TestRefusalCostsNoMoreThanTheBatches(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 25)
	f.Set(awstest.Faults{DenyBatch: true})
	open(t, f.Env(), settings()).check(t, f, names, 2, 25)
}

func TestRefusalIsThatOfItsRegion(t *testing.T) {
	f := awstest.StartFake(t)
	s := open(t, f.Env(), settings())
	s.refused["eu-west-1"] = true
	names := numbered(f, 4)
	for n := range 3 {
		name := fmt.Sprintf("far/%d", n)
		names = append(names, f.PutIn(awstest.Account, "eu-west-1", name, ""))
	}
	if got, want := s.Plan(names), (sources.Calls{Batch: 1, Single: 3, IfRefused: 4}); got != want {
		t.Errorf("plan %+v, want %+v", got, want)
	}
	f.Forget()
	s.fetch(t, names...)
	if b, n := f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"); b != 1 || n != 3 {
		t.Errorf("%d batches and %d single requests", b, n)
	}
}

func TestBatchThatIsOnlyUnlucky(t *testing.T) {
	for name, c := range map[string]struct {
		faults           awstest.Faults
		batches, singles int
	}{
		// Three attempts by the SDK, then singly, for this batch alone.
		"throttled":       {awstest.Faults{ThrottleBatch: 3}, 3, 20},
		"throttled once":  {awstest.Faults{ThrottleBatch: 1}, 2, 0},
		"failed once":     {awstest.Faults{FailBatch: 1}, 2, 0},
		"whole not found": {awstest.Faults{RejectBatch: "ResourceNotFoundException"}, 1, 20},
		"whole invalid":   {awstest.Faults{RejectBatch: "InvalidRequestException"}, 1, 20},
		"odd code":        {awstest.Faults{RejectBatch: "SomethingNewException"}, 1, 20},
		"decryption":      {awstest.Faults{RejectBatch: "DecryptionFailure"}, 1, 20},
	} {
		t.Run(name, func(t *testing.T) {
			f := awstest.StartFake(t)
			names := numbered(f, 20)
			f.Set(c.faults)
			s := open(t, f.Env(), settings())
			s.check(t, f, names, c.batches, c.singles)
			f.Set(awstest.Faults{})
			s.check(t, f, names, 1, 0)
		})
	}
}

func TestDownBackendIsNotAskedTwice(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 40)
	f.Set(awstest.Faults{Fail: awstest.Always})
	s := open(t, f.Env(), settings())
	for _, r := range s.fetch(t, names...) {
		e := wantKind(t, r.Err, sources.Unreachable)
		if e.Code != "InternalServiceError" || !strings.Contains(e.Message, "after 3 attempts") {
			t.Error(e)
		}
	}
	if b, n := f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"); b != 2*3 || n != 0 {
		t.Errorf("%d batches and %d single requests", b, n)
	}
}

func TestErrorsOfABatch(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 20)
	states := map[string]struct {
		state awstest.State
		kind  sources.Kind
	}{
		names[0]: {awstest.Denied, sources.Denied},
		names[1]: {awstest.Deleted, sources.Disabled},
		names[2]: {awstest.KMSDenied, sources.Denied},
		names[3]: {awstest.Undecryptable, sources.Denied},
		names[4]: {awstest.NoValue, sources.Disabled},
	}
	for name, c := range states {
		f.Mark(f.Put(name, ""), c.state)
	}
	names[5] = "no/such"
	s := open(t, f.Env(), settings())
	got := s.fetch(t, names...)
	if b, n := f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"); b != 1 || n != 0 {
		t.Errorf("%d batches and %d single requests: an error in a batch is final", b, n)
	}
	for name, c := range states {
		wantKind(t, got[name].Err, c.kind)
	}
	wantKind(t, got["no/such"].Err, sources.NotFound)
	for _, name := range names[6:] {
		wantValue(t, got[name], "value of "+name)
	}
}

// An error in a batch that another attempt may mend is no answer: the secret is asked
// for by itself, which the SDK repeats.
func TestPassingErrorsOfABatch(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 4)
	codes := map[string]string{names[0]: "InternalServiceError", names[1]: "ThrottlingException", names[2]: "", names[3]: "ResourceNotFoundException"}
	f.Tell(&cloudtest.Lie{Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".BatchGetSecretValue") {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		var all []any
		for name, code := range codes {
			all = append(all, map[string]any{"SecretId": name, "ErrorCode": code, "Message": mark})
		}
		body, _ := json.Marshal(map[string]any{"Errors": all})
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = w.Write(body)
	}})
	got := open(t, f.Env(), settings()).fetch(t, names...)
	for _, name := range names[:3] {
		wantValue(t, got[name], "value of "+name)
	}
	wantKind(t, got[names[3]].Err, sources.NotFound)
	if b, n := f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"); b != 1 || n != 3 {
		t.Errorf("%d batches and %d single requests", b, n)
	}
}

func TestWhatABatchLeavesOut(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 40)
	f.Set(awstest.Faults{LeaveOut: []string{names[3], names[21]}})
	open(t, f.Env(), settings()).check(t, f, names, 2, 2)
}

func TestPagesOfABatch(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 20)
	for _, c := range []struct {
		name             string
		faults           awstest.Faults
		batches, singles int
	}{
		{"seven at a time", awstest.Faults{PageSize: 7}, 3, 0},
		{"one at a time", awstest.Faults{PageSize: 1}, 20, 0},
		// All is answered at once; what the token leads to is of no interest.
		{"a token too many", awstest.Faults{RepeatToken: true}, 1, 0},
		{"a token that repeats", awstest.Faults{RepeatToken: true, LeaveOut: names[:1]}, 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Set(c.faults)
			open(t, f.Env(), settings()).check(t, f, names, c.batches, c.singles)
		})
	}
}

func TestOneSecretByManyNames(t *testing.T) {
	f := awstest.StartFake(t)
	arn := f.Put("app/a", "a")
	part := arn[:len(arn)-len("-XXXXXX")]
	f.Put("app/b", "b")
	s := open(t, f.Env(), settings())
	// The account is known from the second time on, and the batch suffices.
	for _, singles := range []int{1, 0} {
		f.Forget()
		got := s.fetch(t, "app/a", arn, part, "app/b")
		for _, name := range []string{"app/a", arn, part} {
			wantValue(t, got[name], "a")
		}
		wantValue(t, got["app/b"], "b")
		if b, n := f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"); b != 1 || n > singles {
			t.Errorf("%d batches and %d single requests", b, n)
		}
	}
}

func TestSameNameInAnotherAccount(t *testing.T) {
	f := awstest.StartFake(t)
	f.Put("app/a", "own")
	own := f.Put("app/own", "own")
	other := f.PutIn("999999999999", awstest.Region, "app/a", "of another")
	s := open(t, f.Env(), settings())
	for _, names := range [][]string{{other, "app/a"}, {"app/a", other}} {
		got := s.fetch(t, names...)
		wantValue(t, got["app/a"], "own")
		wantValue(t, got[other], "of another")
	}
	// The own one is gone: the other must not take its place.
	f.Mark(own, awstest.Deleted)
	f.Set(awstest.Faults{LeaveOut: []string{"app/own"}})
	theirs := f.PutIn("999999999999", awstest.Region, "app/own", "of another")
	got := s.fetch(t, "app/own", theirs)
	wantKind(t, got["app/own"].Err, sources.Disabled)
	wantValue(t, got[theirs], "of another")
}

func TestManyRegions(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 3)
	near := f.Put("near", "near")
	far := f.PutIn(awstest.Account, "eu-west-1", "far", "far")
	names = append(names, near, far)
	s := open(t, f.Env(), settings())
	if got, want := s.Plan(names), (sources.Calls{Batch: 1, Single: 1, IfRefused: 4}); got != want {
		t.Errorf("plan %+v, want %+v", got, want)
	}
	got := s.fetch(t, names...)
	wantValue(t, got[near], "near")
	wantValue(t, got[far], "far")
	wantValue(t, got[names[0]], "value of "+names[0])
	if n := f.Total(); n != 2 {
		t.Errorf("%d requests", n)
	}
}
