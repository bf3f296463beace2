package entitle

import (
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
)

// botControl is the app that the threat settings own, and what a plan must have for them to
// act on bots.
const botControl = "bot-control"

// Bots says what a plan does not allow of the bot control; nothing of one that is off.
func (r Rules) Bots(plan string, t *breakwaterv1.ThreatSettings) []catalog.PlanViolation {
	on, settings, _ := catalog.View(botControl, nil, t)
	if !on {
		return nil
	}
	return r.Apps.PlanViolations(r.Plans, plan, botControl, settings)
}

// bots switches the bot control off where the plan does not have it.
func (f *fitting) bots() {
	t := f.config.GetThreatSettings()
	found := f.Bots(f.in.Plan, t)
	if len(found) == 0 {
		return
	}
	f.parked.BotControl, t.BotControl = t.GetBotControl(), breakwaterv1.ThreatSettings_Control_OFF
	f.off = append(f.off, &breakwaterv1.TurnOff{
		Field: "threatSettings.botControl", App: botControl, RequiredPlan: f.requiredFor(found),
		Message: "the bot control is switched off; what it did is kept (" + found[0].Message + ")",
	})
}

// bringBackBots has the bot control do again what it did, unless it does something by now.
func (f *fitting) bringBackBots() {
	mode := f.parked.GetBotControl()
	if mode == breakwaterv1.ThreatSettings_Control_MODE_UNSPECIFIED {
		return
	}
	if len(f.Bots(f.in.Plan, &breakwaterv1.ThreatSettings{BotControl: mode})) > 0 {
		return
	}
	f.parked.BotControl = breakwaterv1.ThreatSettings_Control_MODE_UNSPECIFIED
	if f.config.GetThreatSettings() == nil {
		f.config.ThreatSettings = &breakwaterv1.ThreatSettings{}
	}
	if on, _, _ := catalog.View(botControl, nil, f.config.GetThreatSettings()); !on {
		f.config.ThreatSettings.BotControl = mode
	}
}
