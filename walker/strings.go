package walker

// Strings calls yield for every string of the document in turn, the names of
// members included, until yield returns false: wherever it stands, and whether or
// not anything is known of that place. The span has the quotes; text is decoded.
func (d *Document) Strings(yield func(at Span, text string, name bool) bool) {
	b := d.data
	for i := quote(b, 0); i < len(b); {
		end := skipString(b, i)
		next := space(b, end)
		if !yield(Span{i, end}, unescape(b[i+1:end-1]), next < len(b) && b[next] == ':') {
			return
		}
		i = quote(b, end)
	}
}
