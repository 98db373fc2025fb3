package file

import (
	"bytes"
	"encoding/json"

	"github.com/tidwall/gjson"
)

// member is where one member of a JSON object stands: bytes from and to.
type member struct {
	name                 string
	key, keyEnd, at, end int
}

// membersOf gives the members of the object in data, which parse has found
// good, and the place after its opening brace.
func membersOf(data []byte) (members []member, open int) {
	open = bytes.IndexByte(data, '{') + 1
	gjson.ParseBytes(data[open-1:]).ForEach(func(key, value gjson.Result) bool {
		k, v := open-1+key.Index, open-1+value.Index
		members = append(members, member{key.Str, k, k + len(key.Raw), v, v + len(value.Raw)})
		return true
	})
	return members, open
}

// setMember puts a text in place of the value of name, or a new member at the
// end, spaced as the first one is. No other byte changes.
func setMember(data []byte, name string, text []byte) []byte {
	value := quoted(string(text))
	members, open := membersOf(data)
	for _, m := range members {
		if m.name == name {
			return splice(data, m.at, m.end, value)
		}
	}
	key := quoted(name)
	if len(members) == 0 {
		return splice(data, open, open, bytes.Join([][]byte{key, value}, []byte(": ")))
	}
	first, last := members[0], members[len(members)-1]
	added := bytes.Join([][]byte{{','}, data[open:first.key], key, data[first.keyEnd:first.at], value}, nil)
	return splice(data, last.end, last.end, added)
}

// deleteMember takes the member name out, with the comma that it needs no more.
func deleteMember(data []byte, name string) []byte {
	members, _ := membersOf(data)
	for i, m := range members {
		switch {
		case m.name != name:
			continue
		case i > 0:
			return splice(data, members[i-1].end, m.end, nil)
		case len(members) > 1:
			return splice(data, m.key, members[1].key, nil)
		}
		return splice(data, m.key, m.end, nil)
	}
	return data
}

func splice(data []byte, from, to int, with []byte) []byte {
	return bytes.Join([][]byte{data[:from], with, data[to:]}, nil)
}

// quoted gives a text as JSON.
func quoted(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // strings always marshal
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
