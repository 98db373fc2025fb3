package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

// place is what a field is, as far as the rules tell fields apart.
type place uint8

const (
	settingPlace place = iota // its value is no secret, but may hold one
	secretPlace               // its every value is a secret
	pathPlace                 // a secret, or the path of the file that holds it
	headerPlace               // whether it is a secret depends on its name
	linePlace                 // a part of a command line, or of an environment
	zonePlace                 // a string of a free-form config
)

// kindOf is what is known of a field by its line of the catalogue.
type kindOf struct {
	place    place
	password bool
	document bool // the field holds a JSON document, written as one string
	stored   bool // Bifrost copies it into its config store as it stands
	plugin   bool // it stands in a plugin
}

func kindOfEntry(e *walker.Entry) kindOf {
	if e == nil {
		return kindOf{}
	}
	p := e.Pattern
	return kindOf{
		place:    placeOf(e),
		password: strings.HasSuffix(strings.ToLower(p), "password"),
		document: strings.Contains(e.Note, "JSON document"),
		stored:   inConfigStore(p),
		plugin:   strings.HasPrefix(p, "plugins[]"),
	}
}

// inConfigStore reports whether Bifrost copies a field into its config store as
// it stands, as far as is known: the stores' own settings are what opens them,
// and of the admin's password a hash is kept.
func inConfigStore(pattern string) bool {
	for _, section := range []string{"encryption_key", "config_store.", "logs_store.", "auth_config.", "governance.auth_config."} {
		if strings.HasPrefix(pattern, section) {
			return false
		}
	}
	return true
}

func placeOf(e *walker.Entry) place {
	p := e.Pattern
	switch {
	case e.Form == walker.ZoneForm:
		return zonePlace
	case strings.HasSuffix(p, "headers.*"):
		return headerPlace
	case walker.CommandLine(e):
		return linePlace
	case e.Kind != walker.SecretKind, strings.HasSuffix(p, "url") && !strings.HasSuffix(p, "webhook_url"):
		return settingPlace
	case walker.HoldsPath(e):
		return pathPlace
	}
	return secretPlace
}

// look is what the rules see in one field. It is taken once, since several rules
// go by it, and one cause is to make one finding.
type look struct {
	kindOf
	literal bool   // a text of the document's own stands here
	text    string // that text
	raw     bool   // it is the JSON text of an object that is no object form
	miss    walker.NearMiss
	leaks   []leak // the secrets in it
}

func (c *checker) lookAt(f *walker.Field) {
	l := &c.look
	*l = look{kindOf: kindOfEntry(f.Entry)}
	if f.Entry == nil {
		return
	}
	if l.place == linePlace {
		defer c.line.next(f)
	}
	switch f.What {
	case walker.Literal, walker.Other:
		l.literal, l.text = true, f.Text()
		l.raw = f.Object && l.text == string(c.doc.Text(spanOf(f)))
	case walker.Ref, walker.Broken:
		if f.Object && f.Entry.Kind == walker.SecretKind && !c.store.holds(f.Start) {
			o, ok := f.ObjectForm()
			if f.What == walker.Ref && ok {
				l.leaks = besideReference(o)
			} else if shapeOf(o.Value) != "" { // else it may be the name that is meant
				l.leaks = []leak{{text: o.Value, what: inPlainText, fake: looksFake(o.Value, false), hint: storeIt}}
			}
		}
		return
	}
	if !l.literal || l.text == "" {
		return
	}
	if !l.raw && !(f.Object && walker.Refers(l.text)) { // of which the rule object-form has more to say
		l.miss = walker.FindNearMiss(f.Entry, l.text)
	}
	if !l.miss.Found() && !c.store.holds(f.Start) {
		l.leaks = c.leakIn(f)
	}
}

// besideReference finds a secret in the value of an object that refers to
// another one, as an API may answer it.
func besideReference(o walker.ObjectForm) []leak {
	if o.Value == "" || walker.Refers(o.Value) || walker.IsMasked(o.Value) || o.Value == o.EnvVar || o.Value == o.Ref {
		return nil
	}
	return []leak{{text: o.Value, what: "a secret in plain text beside the reference", fake: looksFake(o.Value, false), hint: `write the reference alone, as a string`}}
}
