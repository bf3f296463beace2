package catalog

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

//go:embed apps.json
var appsFile []byte

// Default returns the entries that a new installation begins with, in order of their IDs.
// They belong to the caller.
func Default() ([]*breakwaterv1.App, error) { return parse(appsFile) }

func parse(file []byte) ([]*breakwaterv1.App, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(file, &raw); err != nil {
		return nil, fmt.Errorf("catalog: apps: %w", err)
	}
	if len(raw) == 0 {
		return nil, errors.New("catalog: apps: none")
	}
	apps := make([]*breakwaterv1.App, 0, len(raw))
	for i, entry := range raw {
		app := &breakwaterv1.App{}
		if err := protojson.Unmarshal(entry, app); err != nil {
			return nil, fmt.Errorf("catalog: app %d: %w", i, err)
		}
		if i > 0 && app.GetName() <= apps[i-1].GetName() {
			return nil, fmt.Errorf("catalog: %s: out of order", app.GetName())
		}
		app.Version = 1
		apps = append(apps, app)
	}
	return apps, nil
}

const namePrefix = "apps/"

// ID returns the ID of an app from its name, `apps/{app}`.
func ID(app *breakwaterv1.App) string { return strings.TrimPrefix(app.GetName(), namePrefix) }

// Name returns the name of an app from its ID.
func Name(id string) string { return namePrefix + id }
