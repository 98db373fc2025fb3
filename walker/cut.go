package walker

// Span is a range of bytes of a document: from Start to before End.
type Span struct{ Start, End int }

// Member is a member of an object: its name and its value as they stand in the
// document.
type Member struct {
	Name, Value Span
}

// Members finds the members at a path of names from the top, each name being
// compared as Bifrost compares it, without regard to case. There is more than
// one where a name is repeated. parents are the members of each object that
// holds one, all of them, in order.
func (d *Document) Members(names ...string) (found []Member, parents [][]Member) {
	tops := []Span{{Start: space(d.data, 0), End: len(d.data)}}
	for depth, name := range names {
		var next []Span
		for _, top := range tops {
			if d.data[top.Start] != '{' {
				continue
			}
			all := d.members(top.Start)
			held := false
			for _, m := range all {
				if !sameName(d.data[m.Name.Start+1:m.Name.End-1], name) {
					continue
				}
				next = append(next, m.Value)
				if depth == len(names)-1 {
					found, held = append(found, m), true
				}
			}
			if held {
				parents = append(parents, all)
			}
		}
		tops = next
	}
	return found, parents
}

// members gives the members of the object at i.
func (d *Document) members(i int) []Member {
	var out []Member
	b := d.data
	var sections []Span
	if i == space(b, 0) {
		sections = d.sections
	}
	for i = space(b, i+1); b[i] != '}'; {
		m := Member{Name: Span{i, skipString(b, i)}}
		i = space(b, space(b, m.Name.End)+1)
		if len(sections) > 0 && sections[0].Start == i {
			m.Value, sections = sections[0], sections[1:]
		} else {
			m.Value = Span{i, skipValue(b, i)}
		}
		out = append(out, m)
		if i = space(b, m.Value.End); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	return out
}

// Without gives the spans, in rising order, whose removal takes the members at
// that path out of the document and leaves valid JSON: each run of members goes
// with one comma, and the space around what stays is kept.
func (d *Document) Without(names ...string) []Span {
	found, parents := d.Members(names...)
	gone := map[Member]bool{}
	for _, m := range found {
		gone[m] = true
	}
	var cuts []Span
	for _, all := range parents {
		for i := 0; i < len(all); i++ {
			if !gone[all[i]] {
				continue
			}
			first := i
			for i+1 < len(all) && gone[all[i+1]] {
				i++
			}
			cut := Span{all[first].Name.Start, all[i].Value.End}
			switch {
			case i+1 < len(all):
				cut.End = all[i+1].Name.Start
			case first > 0:
				cut.Start = all[first-1].Value.End
			}
			cuts = append(cuts, cut)
		}
	}
	return cuts
}

// Text gives the bytes of a span. They must not be changed.
func (d *Document) Text(s Span) []byte { return d.data[s.Start:s.End] }
