// Command dashboard reads a dashboard with Grafana's own types and refuses what Grafana does not know: a field, a
// kind of panel or of query, an option of that kind, a unit, or a value out of its bounds.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// The units that the dashboard uses; Grafana shows one that it does not know as text behind the figure.
var known = map[string]bool{
	units.BytesIEC: true, units.DateTimeFromNow: true, units.NoUnit: true, units.PercentUnit: true,
	units.RequestsPerSecond: true, units.Seconds: true, units.Short: true,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboard FILE")
		os.Exit(2)
	}
	raw, err := os.ReadFile(os.Args[1])
	if err == nil {
		plugins.RegisterDefaultPlugins()
		err = check(raw)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(raw []byte) error {
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict(raw); err != nil {
		return err
	}
	errs := []error{board.Validate()}
	for _, entry := range board.Panels {
		if entry.Panel != nil {
			errs = append(errs, panel(*entry.Panel))
		}
		if entry.RowPanel != nil {
			for _, inner := range entry.RowPanel.Panels {
				errs = append(errs, panel(inner))
			}
		}
	}
	errs = append(errs, fieldConfigs(raw))
	return errors.Join(errs...)
}

// The decoder takes a panel or a query of an unknown kind as it is.
func panel(panel dashboard.Panel) error {
	if _, found := cog.ConfigForPanelcfgVariant(panel.Type); !found {
		return fmt.Errorf("panel %s: there is no panel of type %q", name(panel), panel.Type)
	}
	for _, target := range panel.Targets {
		if _, unknown := target.(variants.UnknownDataquery); unknown {
			return fmt.Errorf("panel %s: a query of an unknown data source", name(panel))
		}
	}
	if panel.FieldConfig != nil {
		if unit := panel.FieldConfig.Defaults.Unit; unit != nil && !known[*unit] {
			return fmt.Errorf("panel %s: unit %q", name(panel), *unit)
		}
		for _, override := range panel.FieldConfig.Overrides {
			for _, property := range override.Properties {
				if unit, text := property.Value.(string); property.Id == "unit" && text && !known[unit] {
					return fmt.Errorf("panel %s: unit %q", name(panel), unit)
				}
			}
		}
	}
	return nil
}

// The decoder reads these alone without looking for fields that it does not know.
func fieldConfigs(raw []byte) error {
	type part struct {
		Title       string          `json:"title"`
		FieldConfig json.RawMessage `json:"fieldConfig"`
		Panels      []part          `json:"panels"`
	}
	var board part
	if err := json.Unmarshal(raw, &board); err != nil {
		return err
	}
	var errs []error
	var visit func(part)
	visit = func(of part) {
		if of.FieldConfig != nil {
			if err := new(dashboard.FieldConfigSource).UnmarshalJSONStrict(of.FieldConfig); err != nil {
				errs = append(errs, fmt.Errorf("panel %q: fieldConfig: %w", of.Title, err))
			}
		}
		for _, inner := range of.Panels {
			visit(inner)
		}
	}
	visit(board)
	return errors.Join(errs...)
}

func name(panel dashboard.Panel) string {
	if panel.Title == nil {
		return "without a title"
	}
	return fmt.Sprintf("%q", *panel.Title)
}
