# Made by `undercroft deploy render terraform-aws`: change [deploy] in undercroft.toml and render again.
locals {
  port  = 8000
  image = "${aws_ecr_repository.this.repository_url}:${var.image_tag}"

  # What containers have in common. Fargate gives volumes to root, and the image's user could not write to one: the file
  # system is the image's own, in which that user may write to its data folder and /tmp alone.
  container = {
    image           = local.image
    essential       = true
    linuxParameters = { initProcessEnabled = true }
    environment     = [for name, value in var.environment : { name = name, value = value }]
  }

  parts = {
    api    = merge(var.api, { secrets = local.secrets, grace_s = 45 })
    worker = merge(var.worker, { secrets = local.secrets, grace_s = 60 })
    migrate = {
      cpu     = 256
      memory  = 512
      command = ["python", "manage.py", "migrate"]
      grace_s = 30
      secrets = {
        for variable, secret in local.secrets : variable => secret
        if contains(["UNDERCROFT_MASTER_KEY", "ENCRYPTION_KEY", "DATABASE_URL"], variable)
      }
    }
  }
}

resource "aws_ecr_repository" "this" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The last versions are kept, to go back to."
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 20 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = local.parts
  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_days
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  for_each                 = local.parts
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  container_definitions = jsonencode([merge(local.container, {
    name         = each.key
    command      = each.value.command
    stopTimeout  = each.value.grace_s
    portMappings = each.key == "api" ? [{ containerPort = local.port, protocol = "tcp" }] : []
    secrets      = [for variable, secret in each.value.secrets : { name = variable, valueFrom = secret }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this[each.key].name
        awslogs-region        = var.region
        awslogs-stream-prefix = each.key
      }
    }
  })])
}

resource "aws_ecs_service" "api" {
  name                              = "${var.name}-api"
  cluster                           = aws_ecs_cluster.this.id
  task_definition                   = aws_ecs_task_definition.this["api"].arn
  desired_count                     = var.api.replicas
  launch_type                       = "FARGATE"
  health_check_grace_period_seconds = 60

  # A version whose tasks do not become healthy is taken back by itself.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  network_configuration {
    subnets         = aws_subnet.private[*].id
    security_groups = [aws_security_group.container.id]
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.api.arn
    container_name   = "api"
    container_port   = local.port
  }

  lifecycle {
    ignore_changes = [desired_count] # scaling.tf says how many
  }

  depends_on = [aws_lb_listener.https, aws_iam_role_policy.secrets]
}

resource "aws_ecs_service" "worker" {
  name            = "${var.name}-worker"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this["worker"].arn
  desired_count   = var.worker.replicas
  launch_type     = "FARGATE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets         = aws_subnet.private[*].id
    security_groups = [aws_security_group.container.id]
  }

  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [aws_iam_role_policy.secrets]
}
