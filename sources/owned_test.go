package sources

import (
	"errors"
	"strings"
	"testing"
)

// The rule of who may overwrite and delete, as a table.
func TestStanding(t *testing.T) {
	const here, ours, theirs = "1", "gateway-1", "gateway-2"
	subject := Subject{Name: "key", Text: `"key" in x`}
	bar := subject.Refused("is rotated", "stop the rotation")
	lost := errors.New("no answer")
	for name, c := range map[string]struct {
		owner, expect string // owner is that of the mark; empty for none
		absent        bool
		bar           *Error
		made          bool
		madeErr       error

		done             bool
		put              string // what the error of a write says
		removed, removal string // what that of a deletion says, with expect and without
	}{
		"nothing":                  {absent: true},
		"nothing any more":         {absent: true, expect: here, put: "is not there any more"},
		"ours":                     {owner: ours, expect: here},
		"ours, and not expected":   {owner: ours, put: "was made meanwhile"},
		"ours, and another":        {owner: ours, expect: "0", put: "was changed meanwhile: it has version 1", removed: "was changed meanwhile"},
		"ours, made before":        {owner: ours, expect: "0", made: true, done: true, removed: "was changed meanwhile"},
		"ours, not known":          {owner: ours, expect: here, madeErr: lost, put: lost.Error()},
		"ours, and barred":         {owner: ours, expect: here, bar: bar, put: "is rotated", removed: "is rotated", removal: "is rotated"},
		"ours, barred, made":       {owner: ours, bar: bar, made: true, put: "is rotated", removed: "is rotated", removal: "is rotated"},
		"by hand":                  {expect: here, put: "was not stored by", removed: "was not stored by", removal: "was not stored by"},
		"by hand, barred":          {bar: bar, put: "was not stored by", removed: "was not stored by", removal: "was not stored by"},
		"by hand, made":            {made: true, put: "was not stored by", removed: "was not stored by", removal: "was not stored by"},
		"another's":                {owner: theirs, expect: here, put: `gateway "gateway-2"`, removed: `gateway "gateway-2"`, removal: `gateway "gateway-2"`},
		"another's, made, barred":  {owner: theirs, made: true, bar: bar, put: `gateway "gateway-2"`, removed: `gateway "gateway-2"`, removal: `gateway "gateway-2"`},
		"nobody may ask of theirs": {owner: theirs, madeErr: lost, put: `gateway "gateway-2"`, removed: `gateway "gateway-2"`, removal: `gateway "gateway-2"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := Standing{Subject: subject, Exists: !c.absent, Version: here, Bar: c.bar, Made: func() (bool, error) { return c.made, c.madeErr }}
			if c.owner != "" {
				s.Mark = &Mark{Owner: c.owner}
			}
			check := func(err error, want string) {
				t.Helper()
				switch {
				case want == "" && err == nil:
				case want == "" || err == nil || !strings.Contains(err.Error(), want):
					t.Errorf("%v, want %q", err, want)
				case errors.Is(err, lost):
				case HintOf(err) == "" || KindOf(err) != Refused && KindOf(err) != Conflict || !strings.HasPrefix(err.Error(), subject.Text):
					t.Errorf("%v of kind %q with the hint %q", err, KindOf(err), HintOf(err))
				}
			}
			done, err := s.AdmitPut(Write{Name: "key", Expect: c.expect, Mark: Mark{Owner: ours}})
			check(err, c.put)
			if done != c.done {
				t.Errorf("done is %v", done)
			}
			for expect, want := range map[string]string{c.expect: c.removed, "": c.removal} {
				if expect == "" {
					want = c.removal
				}
				gone, err := s.AdmitDelete(ours, expect)
				check(err, want)
				if gone != c.absent {
					t.Errorf("gone is %v", gone)
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for text, want := range map[string]string{"": "is empty", "12345": "has 5 bytes, and 4 are allowed", "\xff": "is not utf-8", "1234": ""} {
		w := Write{Name: "key", Value: NewSecret([]byte(text)), Mark: Mark{Owner: "o"}}
		err := Limits{Max: 4}.Check(w)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Message, want) || err.Hint == "" || err.Kind != Refused) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err := (Limits{Max: 5, Empty: true, Binary: true}).Check(w); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		w.Mark.Owner = ""
		if err := (Limits{Max: 5, Empty: true, Binary: true}).Check(w); KindOf(err) != Refused {
			t.Errorf("for nobody: %v", err)
		}
	}
	if KindOf(CheckDelete("key", "")) != Refused || CheckDelete("key", "o") != nil {
		t.Error("a deletion for nobody is not told apart")
	}
}
