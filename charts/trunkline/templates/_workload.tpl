{{/*
A Deployment. Takes {root, name, values, image, args, http} and, for workers, {annotations, worker}.
Pods hold to the `restricted` pod security standard. The configuration is a mounted folder and is reloaded while
running, so a change of it rolls no pod: hence no checksum annotation of it.
*/}}
{{- define "trunkline.deployment" -}}
{{- $gpu := int (dig "gpu" "count" 0 .values) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "trunkline.componentName" . }}
  labels: {{- include "trunkline.labels" . | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .values) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "trunkline.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  template:
    metadata:
      labels: {{- include "trunkline.labels" . | nindent 8 }}
      {{- with mergeOverwrite (default dict .annotations) (default dict .values.podAnnotations) }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "trunkline.placement" . | nindent 6 }}
      {{- $watches := and (eq .name "gateway") (eq .root.Values.gateway.discovery "endpointSlices") }}
      serviceAccountName: {{ ternary (include "trunkline.componentName" .) (include "trunkline.fullname" .root) $watches }}
      automountServiceAccountToken: {{ $watches }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "trunkline.graceSeconds" .root }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      {{- if .worker }}
      {{- include "trunkline.modelPreparation" . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ ternary "worker" .name (hasKey . "worker") }}
          {{- include "trunkline.container" . | nindent 10 }}
          args: {{ toJson .args }}
          ports:
            {{- if .http }}
            - {name: http, containerPort: 8080}
            {{- end }}
            - {name: grpc, containerPort: 9090}
            - {name: metrics, containerPort: 9464}
          {{- include "trunkline.probes" . | nindent 10 }}
          lifecycle:
            preStop:
              sleep: {seconds: {{ .root.Values.termination.preStopSeconds }}}
          resources:
            {{- $resources := deepCopy (default dict .values.resources) }}
            {{- if gt $gpu 0 }}
            {{- $limit := dict (default "nvidia.com/gpu" .values.gpu.resource) $gpu }}
            {{- $resources = mergeOverwrite $resources (dict "limits" $limit) }}
            {{- end }}
            {{- toYaml $resources | nindent 12 }}
      volumes:
        - name: config
          configMap: {name: {{ include "trunkline.fullname" .root }}}
        - name: tmp
          emptyDir: {}
        {{- if .worker }}
        - name: models
          {{- if dig "storage" "existingClaim" "" .values }}
          persistentVolumeClaim: {claimName: {{ .values.storage.existingClaim }}}
          {{- else }}
          emptyDir: {sizeLimit: {{ dig "storage" "sizeLimit" "4Gi" .values }}}
          {{- end }}
        {{- end }}
        {{- range $index, $file := .values.secretFiles }}
        - name: secret-{{ $index }}
          secret: {secretName: {{ $file.name }}, defaultMode: 0440}
        {{- end }}
{{- end -}}

{{/* What a container and the init container share. */}}
{{- define "trunkline.container" -}}
image: {{ include "trunkline.image" . | quote }}
imagePullPolicy: {{ .root.Values.imagePullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: TRUNKLINE_HOME, value: /var/lib/trunkline}
  {{- range $name, $source := .values.secretEnv }}
  - name: {{ $name }}
    valueFrom:
      secretKeyRef: {name: {{ $source.name }}, key: {{ $source.key }}}
  {{- end }}
  {{- if and (eq .name "gateway") .root.Values.apiKey.existingSecret }}
  - name: TRUNKLINE_API_KEY
    valueFrom:
      secretKeyRef: {name: {{ .root.Values.apiKey.existingSecret }}, key: {{ .root.Values.apiKey.key }}}
  {{- end }}
volumeMounts:
  # The whole folder: a file mounted by subPath would never change.
  - {name: config, mountPath: /etc/trunkline, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- if .worker }}
  - {name: models, mountPath: /var/lib/trunkline}
  {{- end }}
  {{- range $index, $file := .values.secretFiles }}
  - {name: secret-{{ $index }}, mountPath: {{ $file.mountPath }}, readOnly: true}
  {{- end }}
{{- end -}}

{{- define "trunkline.probes" -}}
{{- $live := ternary (dict "httpGet" (dict "path" "/livez" "port" "http")) (dict "grpc" (dict "port" 9090)) (not (not .http)) -}}
{{- $ready := ternary (dict "httpGet" (dict "path" "/readyz" "port" "http")) $live (not (not .http)) -}}
startupProbe:
  {{- toYaml $live | nindent 2 }}
  periodSeconds: 2
  # Loading a model takes its time: ten minutes for a worker, one for the others.
  failureThreshold: {{ ternary 300 30 (hasKey . "worker") }}
readinessProbe:
  {{- toYaml $ready | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  {{- toYaml $live | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* Downloads and converts the model once, into the volume. A `path:` model is brought along in the claim. */}}
{{- define "trunkline.modelPreparation" -}}
{{- $settings := include "trunkline.workerSettings" .values | fromJson -}}
{{- $auto := ternary "f16" "auto" (eq (default "cpu" $settings.device) "cuda") -}}
{{- $asked := ternary $auto $settings.variant (has $settings.variant (list nil "" "auto")) -}}
{{- $variant := ternary (list) (list "--variant" $asked) (eq $asked "auto") -}}
{{- if not (hasPrefix "path:" $settings.model) -}}
initContainers:
  - name: prepare-model
    {{- include "trunkline.container" . | nindent 4 }}
    args: {{ toJson (concat (list "models" "prepare" $settings.model) $variant) }}
    resources:
      requests: {cpu: 500m, memory: 1Gi}
      limits: {memory: 2Gi}
{{- end -}}
{{- end -}}

{{/* Where pods may run. */}}
{{- define "trunkline.placement" -}}
{{- $gpu := int (dig "gpu" "count" 0 .values) -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with dig "gpu" "runtimeClass" "" .values }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := default list .values.tolerations -}}
{{- if gt $gpu 0 -}}
{{- $tolerations = append $tolerations (dict "key" (default "nvidia.com/gpu" .values.gpu.resource) "operator" "Exists" "effect" "NoSchedule") -}}
{{- end }}
{{- with $tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "trunkline.selector" . | nindent 8 }}
{{- end -}}

{{/* Headless: callers see every pod and balance between them; a virtual address would pin each to one. */}}
{{- define "trunkline.headlessService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "trunkline.componentName" . }}
  labels: {{- include "trunkline.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector: {{- include "trunkline.selector" . | nindent 4 }}
  ports:
    - {name: grpc, port: 9090, targetPort: grpc, appProtocol: kubernetes.io/h2c}
    - {name: metrics, port: 9464, targetPort: metrics}
{{- end -}}

{{/* A service that only speaks gRPC. Takes {root, name, values}. */}}
{{- define "trunkline.grpcService" -}}
{{- $args := list .name "--config" "/etc/trunkline/trunkline.yaml" -}}
{{ include "trunkline.deployment" (merge (dict "image" .root.Values.images.slim "args" $args "http" false) .) }}
---
{{ include "trunkline.headlessService" . }}
{{- end -}}
