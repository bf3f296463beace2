package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configFlag names the one YAML file of settings.
const configFlag = "config"

// settings fills the flags that the command line does not give: from BREAKWATER_*
// variables, then from the YAML file, whose keys are the flags' names. What no flag has
// that name is an error, so that a typing mistake is not silently a default.
func settings(cmd *cobra.Command, environ func(string) (string, bool)) error {
	flags := cmd.Flags()
	if f := flags.Lookup(configFlag); f != nil && !f.Changed {
		if v, ok := environ(variable(configFlag)); ok {
			if err := f.Value.Set(v); err != nil {
				return fmt.Errorf("%s: %w", variable(configFlag), err)
			}
		}
	}
	file, err := readFile(flags)
	if err != nil {
		return err
	}
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		values, inFile := file[f.Name]
		delete(file, f.Name)
		if f.Changed || f.Name == configFlag {
			return
		}
		source := "config file: " + f.Name
		if v, ok := environ(variable(f.Name)); ok {
			values, inFile, source = v, true, variable(f.Name)
		}
		if !inFile {
			return
		}
		if err := flags.Set(f.Name, values); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", source, err))
		}
	})
	unknown := make([]string, 0, len(file))
	for name := range file {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		errs = append(errs, fmt.Errorf("config file: there is no setting %q", name))
	}
	return errors.Join(errs...)
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "BREAKWATER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// readFile reads the YAML file as flag values; lists become comma-separated.
func readFile(flags *pflag.FlagSet) (map[string]string, error) {
	path, err := flags.GetString(configFlag)
	if err != nil || path == "" {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("config file %s: %w", path, err)
	}
	out := map[string]string{}
	for name, value := range raw {
		switch v := value.(type) {
		case []any:
			parts := make([]string, len(v))
			for i, p := range v {
				parts[i] = fmt.Sprint(p)
			}
			out[name] = strings.Join(parts, ",")
		case map[string]any:
			return nil, fmt.Errorf("config file %s: %q is nested; settings are flat", path, name)
		default:
			out[name] = fmt.Sprint(v)
		}
	}
	return out, nil
}
