"""The average of ten shifted views at test time, PH-Reg's teacher alone.

Ten times the cost, and nothing is trained.
"""

repair = dict(type="average_views", artifact="auto")
