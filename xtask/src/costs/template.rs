//! The parts of the template that determine fixed costs and the maximum cost.

use anyhow::{Context, Result};
use serde_yaml_ng::Value;

/// The counts of a stack.
#[derive(Debug, PartialEq)]
pub(super) struct Stack {
    /// The default of `ApiRate`: requests a second.
    pub(super) api_rate: f64,
    /// The metrics that alarms read, without optional alarms.
    pub(super) alarm_metrics: f64,
    /// The metrics that alarms read if all parameters are set.
    pub(super) optional_alarm_metrics: f64,
    pub(super) dashboards: f64,
}

impl Stack {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let template: Value = serde_yaml_ng::from_str(text)?;
        let api_rate = template["Parameters"]["ApiRate"]["Default"].as_f64();
        let resources = template["Resources"].as_mapping().context("no resources")?;
        let of_type = |kind: &'static str| {
            let all = resources.values();
            all.filter(move |resource| resource["Type"].as_str() == Some(kind))
        };
        let alarms = || of_type("AWS::CloudWatch::Alarm");
        let required = alarms().filter(|alarm| alarm.get("Condition").is_none());
        Ok(Self {
            api_rate: api_rate.context("ApiRate has no default")?,
            alarm_metrics: required.map(metrics).sum(),
            optional_alarm_metrics: alarms().map(metrics).sum(),
            dashboards: f64::from(u32::try_from(
                of_type("AWS::CloudWatch::Dashboard").count(),
            )?),
        })
    }
}

/// The number of metrics that an alarm reads. A query of Metrics Insights counts as one.
fn metrics(alarm: &Value) -> f64 {
    let properties = &alarm["Properties"];
    let Some(list) = properties["Metrics"].as_sequence() else {
        return 1.0;
    };
    let is_query = |entry: &Value| {
        let expression = entry["Expression"].as_str().unwrap_or_default();
        expression.starts_with("SELECT")
    };
    let read = list
        .iter()
        .filter(|entry| entry.get("MetricStat").is_some() || is_query(entry));
    read.map(|_| 1.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_alarms_are_counted_with_and_without_conditions() {
        let text = "
Parameters:
  ApiRate: { Default: 20 }
Resources:
  A: { Type: 'AWS::CloudWatch::Alarm', Properties: { MetricName: M, Threshold: !Ref T } }
  B:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Metrics:
        - { Id: sum, Expression: SUM(METRICS()) }
        - { Id: a, MetricStat: { Stat: Sum } }
        - { Id: b, MetricStat: { Stat: Sum } }
  C: { Type: 'AWS::CloudWatch::Alarm', Condition: X, Properties: { MetricName: M } }
  D: { Type: 'AWS::CloudWatch::Dashboard' }
";
        let stack = Stack::parse(text).unwrap();
        assert_eq!(
            stack,
            Stack {
                api_rate: 20.0,
                alarm_metrics: 3.0,
                optional_alarm_metrics: 4.0,
                dashboards: 1.0,
            }
        );
    }
}
