{{- define "cafelog.name" -}}
{{- if contains "cafelog" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-cafelog" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "cafelog.selector" -}}
app.kubernetes.io/name: cafelog
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cafelog.labels" -}}
{{ include "cafelog.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
