package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// An object is a JSON object as encoding/json decodes it.
type object = map[string]any

// A part is the document of one proto file.
type part struct {
	// proto is the file that it describes, such as breakwater/v1/sites.proto.
	proto string
	doc   object
}

const partSuffix = ".openapi.json"

// readParts loads every part beneath folder, ordered by path.
func readParts(folder string) ([]part, error) {
	var parts []part
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, partSuffix) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var doc object
		if err := json.Unmarshal(text, &doc); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		rel, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		proto := strings.TrimSuffix(filepath.ToSlash(rel), partSuffix) + ".proto"
		parts = append(parts, part{proto: proto, doc: doc})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // No RPC has a route yet.
	}
	return parts, err
}

// merge joins the parts. Equal schemas in several parts are the rule (every
// part carries what it refers to); different ones under one name are an error.
func merge(parts []part) (object, error) {
	paths, schemas, tags := object{}, object{}, map[string]object{}
	for _, part := range parts {
		if err := mergePaths(paths, child(part.doc, "paths")); err != nil {
			return nil, fmt.Errorf("%s: %w", part.proto, err)
		}
		for name, schema := range child(child(part.doc, "components"), "schemas") {
			if have, ok := schemas[name]; ok && !reflect.DeepEqual(have, schema) {
				return nil, fmt.Errorf("%s: another part describes the schema %s differently", part.proto, name)
			}
			schemas[name] = schema
		}
		for _, tag := range list(part.doc, "tags") {
			tag := tag.(object)
			tags[tag["name"].(string)] = tag
		}
	}
	return frame(paths, schemas, tags), nil
}

// mergePaths adds the routes of one part. Parts may share a path, not an
// operation of it.
func mergePaths(paths, more object) error {
	for path, item := range more {
		renamed, item := nameParameters(path, item.(object))
		have := child(paths, renamed)
		for method, operation := range item {
			if _, taken := have[method]; taken {
				return fmt.Errorf("%s %s is described twice", strings.ToUpper(method), renamed)
			}
			have[method] = operation
		}
		paths[renamed] = have
	}
	return nil
}

// child returns the object at key, an empty one where there is none.
func child(parent object, key string) object {
	if value, ok := parent[key].(object); ok {
		return value
	}
	return object{}
}

func list(parent object, key string) []any {
	value, _ := parent[key].([]any)
	return value
}

// sortedKeys makes iteration deterministic where order shows.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
