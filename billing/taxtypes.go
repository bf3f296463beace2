package billing

import (
	_ "embed"
	"strings"
)

//go:embed taxtypes.txt
var taxTypes string

// TaxTypes are the types of tax IDs that there are, such as `eu_vat`, in order.
func TaxTypes() []string {
	var types []string
	for line := range strings.Lines(taxTypes) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			types = append(types, line)
		}
	}
	return types
}
