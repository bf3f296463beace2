package controlplanetest

import (
	"fmt"
	"strconv"
	"strings"
)

// JSON is a decoded JSON object.
type JSON map[string]any

// At returns the value at a path of keys with dots; nil where there is none.
func (j JSON) At(path string) any {
	var v any = map[string]any(j)
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// Text is At as text; empty where there is none.
func (j JSON) Text(path string) string {
	if v := j.At(path); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// Int is At as a number, also where it is written as text; zero where there is none.
func (j JSON) Int(path string) int64 {
	n, _ := strconv.ParseInt(j.Text(path), 10, 64)
	return n
}

// Objects is At as a list of objects.
func (j JSON) Objects(path string) []JSON {
	list, _ := j.At(path).([]any)
	out := make([]JSON, 0, len(list))
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Texts is At as a list of texts.
func (j JSON) Texts(path string) []string {
	list, _ := j.At(path).([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}
